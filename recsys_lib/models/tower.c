/* Scores of many (user, item) pairs by a tower whose first layer is already split: tower.py says what is computed.

All layers of a tile of pairs are worked off while the tile lies in the nearest cache: what torch writes to memory and
reads again between two layers never leaves it here. `tower` is exact float32: each score is added up in the same order
whatever the tile, so that one pair has one score. `tower_rough` multiplies in 8 bits, which some processors do four times as fast. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16, WIDE = 4, FEW = 6 }; /* FEW * WIDE sums and WIDE weights fit the 32 registers */
#elif defined(__AVX2__)
enum { LANES = 8, WIDE = 2, FEW = 6 };
#else
enum { LANES = 4, WIDE = 4, FEW = 6 };
#endif
enum { NARROW = WIDE / 2, MANY = 2 * FEW, TILE = 4 * MANY, WIDE_COLUMNS = WIDE * LANES, NARROW_COLUMNS = NARROW * LANES };

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t veci __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define AT(address) (*(vec *)(address))

static inline vec relu(vec x) { return (vec)((veci)x & (x > 0)); }

static inline float sum(vec x) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += x[i];
    return total;
}

static void *aligned(int64_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

/* Widths are multiples of this; the caller fills up with zeros. */
int64_t tower_multiple(void) { return NARROW_COLUMNS > 32 ? NARROW_COLUMNS : 32; }

/* y (n_pairs, N) = relu(x (n_pairs, K) W (K, N) + b) for N_VECTORS * LANES columns of W. */
#define MULTIPLY(NAME, N_PAIRS, N_VECTORS)                                                                        \
    static inline void NAME(const float *x, int64_t K, const float *W, int64_t N, const float *b, float *y) {     \
        vec sums[N_PAIRS][N_VECTORS];                                                                             \
        for (int p = 0; p < N_PAIRS; p++)                                                                         \
            for (int v = 0; v < N_VECTORS; v++) sums[p][v] = AT(b + v * LANES);                                   \
        for (int64_t k = 0; k < K; k++) {                                                                         \
            vec weights[N_VECTORS];                                                                               \
            for (int v = 0; v < N_VECTORS; v++) weights[v] = AT(W + k * N + v * LANES);                           \
            for (int p = 0; p < N_PAIRS; p++)                                                                     \
                for (int v = 0; v < N_VECTORS; v++) sums[p][v] = sums[p][v] + weights[v] * x[p * K + k];          \
        }                                                                                                         \
        for (int p = 0; p < N_PAIRS; p++)                                                                         \
            for (int v = 0; v < N_VECTORS; v++) AT(y + p * N + v * LANES) = relu(sums[p][v]);                     \
    }
MULTIPLY(multiply_wide, FEW, WIDE)
MULTIPLY(multiply_narrow, MANY, NARROW)

static void layer(const float *x, int64_t K, const float *W, int64_t N, float *y) {
    const float *b = W + K * N;
    int64_t column = 0;
    for (; column + WIDE_COLUMNS <= N; column += WIDE_COLUMNS)
        for (int p = 0; p < TILE; p += FEW) multiply_wide(x + p * K, K, W + column, N, b + column, y + p * N + column);
    for (; column < N; column += NARROW_COLUMNS)
        for (int p = 0; p < TILE; p += MANY) multiply_narrow(x + p * K, K, W + column, N, b + column, y + p * N + column);
}

typedef struct {
    const void *user_first, *item_first;      /* (B, widths[0]), (n_items, widths[0]): the halves of the first layer */
    const float *user_product, *item_product; /* (B, n_factors), (n_items, n_factors); n_factors may be 0 */
    int64_t n_factors, n_layers;
    const int64_t *widths;   /* n_layers numbers: of the first layer, then of the others */
    const void *weights;     /* of each further layer: W (K, N), b (N); in 8 bits W (K / 4, N, 4), factor (N), b (N) */
    const float *output;     /* (widths[last]) and the bias */
    const int64_t *items;    /* (B, n) candidates, or NULL: items 0 .. n - 1 */
    int64_t n;
    float *scores;           /* (B, n) */
} Task;

/* The last step: the output layer and the product. */
static void finish(const Task *t, int64_t user, int64_t start, int64_t stop, const float *hidden) {
    int64_t last = t->widths[t->n_layers - 1];
    for (int64_t i = start; i < stop; i++) {
        vec total = {0};
        for (int64_t j = 0; j < last; j += LANES) total = total + AT(hidden + (i - start) * last + j) * AT(t->output + j);
        int64_t item = t->items ? t->items[user * t->n + i] : i;
        for (int64_t j = 0; j < t->n_factors; j += LANES)
            total = total + AT(t->user_product + user * t->n_factors + j) * AT(t->item_product + item * t->n_factors + j);
        t->scores[user * t->n + i] = sum(total) + t->output[last];
    }
}

static void tile(const Task *t, int64_t user, int64_t start, int64_t stop, float *x, float *y) {
    int64_t K = t->widths[0];
    const float *from_user = (const float *)t->user_first + user * K;
    for (int64_t p = 0; p < TILE; p++) { /* beyond `stop` the last pair again: nobody reads it */
        int64_t i = start + p < stop ? start + p : stop - 1;
        const float *from_item = (const float *)t->item_first + (t->items ? t->items[user * t->n + i] : i) * K;
        for (int64_t k = 0; k < K; k += LANES) AT(x + p * K + k) = relu(AT(from_user + k) + AT(from_item + k));
    }
    const float *W = t->weights;
    for (int64_t l = 1; l < t->n_layers; l++) {
        int64_t N = t->widths[l];
        layer(x, K, W, N, y);
        W += (K + 1) * N;
        K = N;
        float *read = x;
        x = y;
        y = read;
    }
    finish(t, user, start, stop, x);
}

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>
#define HAS_ROUGH 1

/* As MULTIPLY, with x in 0 .. 255 and W in -127 .. 127: relu(sum * factor + b), in 0 .. 255 again or, at the end, float. */
#define MULTIPLY_ROUGH(NAME, N_PAIRS, N_VECTORS)                                                                   \
    static inline void NAME(const uint8_t *x, int64_t K, const int8_t *W, int64_t N, const float *factor,          \
                            const float *b, void *y, int last) {                                                   \
        __m512i sums[N_PAIRS][N_VECTORS];                                                                          \
        _Pragma("GCC unroll 16") for (int p = 0; p < N_PAIRS; p++)                                                 \
            _Pragma("GCC unroll 16") for (int v = 0; v < N_VECTORS; v++) sums[p][v] = _mm512_setzero_si512();      \
        for (int64_t k = 0; k < K; k += 4) {                                                                       \
            __m512i weights[N_VECTORS];                                                                            \
            _Pragma("GCC unroll 16") for (int v = 0; v < N_VECTORS; v++)                                           \
                weights[v] = _mm512_loadu_si512(W + k * N + v * 64);                                               \
            _Pragma("GCC unroll 16") for (int p = 0; p < N_PAIRS; p++) {                                           \
                int32_t four;                                                                                      \
                memcpy(&four, x + p * K + k, 4);                                                                   \
                __m512i inputs = _mm512_set1_epi32(four);                                                          \
                /* Not the intrinsic: with it gcc 12 keeps the sums in memory, three times as slow. */             \
                _Pragma("GCC unroll 16") for (int v = 0; v < N_VECTORS; v++)                                       \
                    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums[p][v]) : "v"(inputs), "v"(weights[v]));              \
            }                                                                                                      \
        }                                                                                                          \
        _Pragma("GCC unroll 16") for (int p = 0; p < N_PAIRS; p++)                                                 \
            _Pragma("GCC unroll 16") for (int v = 0; v < N_VECTORS; v++) {                                         \
                __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p][v]), _mm512_loadu_ps(factor + 16 * v),   \
                                               _mm512_loadu_ps(b + 16 * v));                                       \
                value = _mm512_max_ps(value, _mm512_setzero_ps());                                                 \
                if (last)                                                                                          \
                    _mm512_storeu_ps((float *)y + p * N + 16 * v, value);                                          \
                else                                                                                               \
                    _mm_storeu_si128((__m128i *)((uint8_t *)y + p * N + 16 * v),                                   \
                                     _mm512_cvtusepi32_epi8(_mm512_cvtps_epu32(value)));                           \
            }                                                                                                      \
    }
MULTIPLY_ROUGH(multiply_rough_wide, FEW, WIDE)
MULTIPLY_ROUGH(multiply_rough_narrow, MANY, NARROW)

static void layer_rough(const uint8_t *x, int64_t K, const int8_t *W, int64_t N, void *y, int last) {
    const float *factor = (const float *)(W + K * N), *b = factor + N;
    int64_t column = 0, bytes = last ? 4 : 1;
    for (; column + WIDE_COLUMNS <= N; column += WIDE_COLUMNS)
        for (int p = 0; p < TILE; p += FEW)
            multiply_rough_wide(x + p * K, K, W + 4 * column, N, factor + column, b + column, (char *)y + (p * N + column) * bytes, last);
    for (; column < N; column += NARROW_COLUMNS)
        for (int p = 0; p < TILE; p += MANY)
            multiply_rough_narrow(x + p * K, K, W + 4 * column, N, factor + column, b + column, (char *)y + (p * N + column) * bytes, last);
}

static void tile_rough(const Task *t, int64_t user, int64_t start, int64_t stop, float *x_, float *y_) {
    uint8_t *x = (uint8_t *)x_, *y = (uint8_t *)y_;
    int64_t K = t->widths[0];
    const int16_t *from_user = (const int16_t *)t->user_first + user * K;
    for (int64_t p = 0; p < TILE; p++) {
        int64_t i = start + p < stop ? start + p : stop - 1;
        const int16_t *from_item = (const int16_t *)t->item_first + i * K;
        for (int64_t k = 0; k < K; k += 32) { /* halves count in 1/32: rounded once, after they are added */
            __m512i total = _mm512_adds_epi16(_mm512_loadu_si512(from_user + k), _mm512_loadu_si512(from_item + k));
            total = _mm512_srai_epi16(_mm512_adds_epi16(total, _mm512_set1_epi16(16)), 5);
            total = _mm512_max_epi16(total, _mm512_setzero_si512());
            _mm256_storeu_si256((__m256i *)(x + p * K + k), _mm512_cvtusepi16_epi8(total));
        }
    }
    const int8_t *W = t->weights;
    for (int64_t l = 1; l < t->n_layers; l++) {
        int64_t N = t->widths[l];
        layer_rough(x, K, W, N, y, l == t->n_layers - 1);
        W += K * N + 8 * N;
        K = N;
        uint8_t *read = x;
        x = y;
        y = read;
    }
    finish(t, user, start, stop, (float *)x);
}
#else
#define HAS_ROUGH 0
#define tile_rough tile
#endif

int64_t tower_has_rough(void) { return HAS_ROUGH; }

/* Returns 0, or 1 when memory is short. */
int tower(const void *user_first, int64_t n_users, const void *item_first, const float *user_product,
          const float *item_product, int64_t n_factors, int64_t n_layers, const int64_t *widths, const void *weights,
          const float *output, const int64_t *items, int64_t n, float *scores, int64_t rough, int64_t threads) {
    Task t = {user_first, item_first, user_product, item_product, n_factors, n_layers, widths, weights, output, items, n, scores};
    int64_t widest = 0, n_tiles = (n + TILE - 1) / TILE;
    for (int64_t l = 0; l < n_layers; l++) widest = widths[l] > widest ? widths[l] : widest;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        float *x = aligned(TILE * widest * sizeof *x), *y = aligned(TILE * widest * sizeof *y);
        if (!x || !y) {
#pragma omp atomic write
            failed = 1;
        }
        /* A tile of items serves all users of the block before the next one is read. */
#pragma omp for schedule(dynamic, 1)
        for (int64_t s = 0; s < n_tiles; s++)
            for (int64_t user = 0; x && y && user < n_users; user++)
                (rough ? tile_rough : tile)(&t, user, s * TILE, (s + 1) * TILE < n ? (s + 1) * TILE : n, x, y);
        free(x);
        free(y);
    }
    return failed;
}
