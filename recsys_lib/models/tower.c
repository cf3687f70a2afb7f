/* Scores of many (user, item) pairs by a tower whose first layer is already split: tower.py says what is computed.

All layers of a tile of pairs are worked off while the tile lies in the nearest cache: what torch writes to memory and
reads again between two layers never leaves it here. `tower` is exact float32: each score is added up in the same order
whatever the tile, so that one pair has one score. `tower_rough` multiplies in 8 bits, which some processors do four times as fast. */

#include <math.h>
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

static inline vec where_positive(vec test, vec x) { return (vec)((veci)x & ~(test <= 0)); } /* NaN stays NaN */
static inline vec relu(vec x) { return where_positive(x, x); }
static inline vec as_it_is(vec x) { return x; }

static inline float sum(vec x) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += x[i];
    return total;
}

static void *aligned(int64_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

/* Widths are multiples of this; the caller fills up with zeros. */
int64_t tower_multiple(void) { return NARROW_COLUMNS > 32 ? NARROW_COLUMNS : 32; }

/* y (N_PAIRS, N) = LAST(x (N_PAIRS, K) W (K, N) + b), for N_VECTORS * LANES columns of W. */
#define MULTIPLY(NAME, N_PAIRS, N_VECTORS, LAST)                                                                  \
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
            for (int v = 0; v < N_VECTORS; v++) AT(y + p * N + v * LANES) = LAST(sums[p][v]);                     \
    }
MULTIPLY(relu_wide, FEW, WIDE, relu)
MULTIPLY(relu_narrow, MANY, NARROW, relu)
MULTIPLY(plain_wide, FEW, WIDE, as_it_is)
MULTIPLY(plain_narrow, MANY, NARROW, as_it_is)

/* A layer of a tile: x (TILE, K) to y (TILE, N); W (K, N), behind it b (N). */
#define LAYER(NAME, MULTIPLY_WIDE, MULTIPLY_NARROW)                                                               \
    static void NAME(const float *x, int64_t K, const float *W, int64_t N, float *y) {                            \
        const float *b = W + K * N;                                                                               \
        int64_t column = 0;                                                                                       \
        for (; column + WIDE_COLUMNS <= N; column += WIDE_COLUMNS)                                                \
            for (int p = 0; p < TILE; p += FEW) MULTIPLY_WIDE(x + p * K, K, W + column, N, b + column, y + p * N + column); \
        for (; column < N; column += NARROW_COLUMNS)                                                              \
            for (int p = 0; p < TILE; p += MANY) MULTIPLY_NARROW(x + p * K, K, W + column, N, b + column, y + p * N + column); \
    }
LAYER(relu_layer, relu_wide, relu_narrow)
LAYER(plain_layer, plain_wide, plain_narrow)

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
        relu_layer(x, K, W, N, y);
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

/* As MULTIPLY, with x in 0 .. 255 and W in -127 .. 127: relu(sum * factor + b), in 0 .. 255 again or, at the end, float.
`over` is set for a pair with a value beyond 255: its score would be wrong by more than rounding. */
#define MULTIPLY_ROUGH(NAME, N_PAIRS, N_VECTORS)                                                                   \
    static inline void NAME(const uint8_t *x, int64_t K, const int8_t *W, int64_t N, const float *factor,          \
                            const float *b, void *y, int last, uint8_t *over) {                                    \
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
                else {                                                                                             \
                    over[p] |= _mm512_cmp_ps_mask(value, _mm512_set1_ps(255.5f), _CMP_GT_OQ) != 0;                 \
                    _mm_storeu_si128((__m128i *)((uint8_t *)y + p * N + 16 * v),                                   \
                                     _mm512_cvtusepi32_epi8(_mm512_cvtps_epu32(value)));                           \
                }                                                                                                  \
            }                                                                                                      \
    }
MULTIPLY_ROUGH(multiply_rough_wide, FEW, WIDE)
MULTIPLY_ROUGH(multiply_rough_narrow, MANY, NARROW)

static void layer_rough(const uint8_t *x, int64_t K, const int8_t *W, int64_t N, void *y, int last, uint8_t *over) {
    const float *factor = (const float *)(W + K * N), *b = factor + N;
    int64_t column = 0, bytes = last ? 4 : 1;
    for (; column + WIDE_COLUMNS <= N; column += WIDE_COLUMNS)
        for (int p = 0; p < TILE; p += FEW)
            multiply_rough_wide(x + p * K, K, W + 4 * column, N, factor + column, b + column, (char *)y + (p * N + column) * bytes, last, over + p);
    for (; column < N; column += NARROW_COLUMNS)
        for (int p = 0; p < TILE; p += MANY)
            multiply_rough_narrow(x + p * K, K, W + 4 * column, N, factor + column, b + column, (char *)y + (p * N + column) * bytes, last, over + p);
}

static void tile_rough(const Task *t, int64_t user, int64_t start, int64_t stop, float *x_, float *y_) {
    uint8_t *x = (uint8_t *)x_, *y = (uint8_t *)y_, over[TILE] = {0};
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
        layer_rough(x, K, W, N, y, l == t->n_layers - 1, over);
        W += K * N + 8 * N;
        K = N;
        uint8_t *read = x;
        x = y;
        y = read;
    }
    finish(t, user, start, stop, (float *)x);
    for (int64_t i = start; i < stop; i++) /* a candidate for certain, and then scored exactly */
        if (over[i - start]) t->scores[user * t->n + i] = INFINITY;
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

/* ---- learning: loss and gradients of a batch, tile by tile */

/* into (N_ROWS of K, N) += x' d over the pairs of a tile; x (TILE, K), d (TILE, N). */
#define ACCUMULATE(NAME, N_ROWS, N_VECTORS)                                                                       \
    static inline void NAME(const float *x, int64_t K, const float *d, int64_t N, float *into) {                  \
        vec sums[N_ROWS][N_VECTORS];                                                                              \
        for (int k = 0; k < N_ROWS; k++)                                                                          \
            for (int v = 0; v < N_VECTORS; v++) sums[k][v] = AT(into + k * N + v * LANES);                        \
        for (int p = 0; p < TILE; p++) {                                                                          \
            vec change[N_VECTORS];                                                                                \
            for (int v = 0; v < N_VECTORS; v++) change[v] = AT(d + p * N + v * LANES);                            \
            for (int k = 0; k < N_ROWS; k++)                                                                      \
                for (int v = 0; v < N_VECTORS; v++) sums[k][v] = sums[k][v] + change[v] * x[p * K + k];           \
        }                                                                                                         \
        for (int k = 0; k < N_ROWS; k++)                                                                          \
            for (int v = 0; v < N_VECTORS; v++) AT(into + k * N + v * LANES) = sums[k][v];                        \
    }
ACCUMULATE(accumulate_wide, 4, WIDE)
ACCUMULATE(accumulate_narrow, 8, NARROW)

static void weight_gradient(const float *x, int64_t K, const float *d, int64_t N, float *into) {
    int64_t column = 0;
    for (; column + WIDE_COLUMNS <= N; column += WIDE_COLUMNS)
        for (int64_t k = 0; k < K; k += 4) accumulate_wide(x + k, K, d + column, N, into + k * N + column);
    for (; column < N; column += NARROW_COLUMNS)
        for (int64_t k = 0; k < K; k += 8) accumulate_narrow(x + k, K, d + column, N, into + k * N + column);
    for (int p = 0; p < TILE; p++) /* the bias */
        for (int64_t j = 0; j < N; j += LANES) AT(into + K * N + j) = AT(into + K * N + j) + AT(d + p * N + j);
}

/* The binary cross-entropy of (n_groups, n_each) pairs, summed, and its gradients; the first pair of a group is the
chosen one.

chosen_weights: (n_groups), how many times each group's chosen pair counts; NULL: once.
weights: as in Task; backwards: from the last layer to the first W' (N, K) and K zeros.
weight_gradients: (threads, size) zeros, size = the numbers of `weights`, and widths[last] + 1 of the output layer.
user_gradient (n_groups, widths[0]) and product_gradient (n_groups, n_factors): zeros; item_gradient (pairs, widths[0]) and
factor_gradient (pairs, n_factors): anything; losses (threads). Returns 0, or 1 when memory is short. */
int tower_learn(const float *chosen_weights, const float *user_half, const float *item_half, const float *user_product,
                const float *item_product, int64_t n_groups, int64_t n_each, int64_t n_factors, int64_t n_layers, const int64_t *widths,
                const float *weights, const float *backwards, const float *output, int64_t size, float *weight_gradients,
                float *user_gradient, float *item_gradient, float *product_gradient, float *factor_gradient,
                double *losses, int64_t threads) {
    int64_t all = 0, widest = 0, first_width = widths[0], last = widths[n_layers - 1];
    for (int64_t l = 0; l < n_layers; l++) {
        all += widths[l];
        widest = widths[l] > widest ? widths[l] : widest;
    }
    int failed = 0;
    /* Each thread has its part of the groups, always the same, so that the same sums are made in the same order. */
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t t = 0; t < threads; t++) {
        float *room = aligned(TILE * (all + 2 * widest) * sizeof *room);
        int64_t begin = n_groups * t / threads * n_each, stop = n_groups * (t + 1) / threads * n_each;
        double loss = 0;
        if (!room) {
#pragma omp atomic write
            failed = 1;
        }
        for (int64_t start = begin; room && start < stop; start += TILE) {
            float *x = room, *d = room + TILE * all, *above = d + TILE * widest;
            float *into = weight_gradients + (t + 1) * size - last - 1;
            /* Forward: the values of every layer are kept. */
            for (int64_t p = 0; p < TILE; p++) {
                int64_t pair = start + p < stop ? start + p : stop - 1;
                const float *u = user_half + pair / n_each * first_width, *i = item_half + pair * first_width;
                for (int64_t k = 0; k < first_width; k += LANES) AT(x + p * first_width + k) = relu(AT(u + k) + AT(i + k));
            }
            const float *W = weights;
            for (int64_t l = 1; l < n_layers; l++) {
                relu_layer(x, widths[l - 1], W, widths[l], x + TILE * widths[l - 1]);
                x += TILE * widths[l - 1];
                W += (widths[l - 1] + 1) * widths[l];
            }
            for (int64_t p = 0; p < TILE; p++) {
                int64_t pair = start + p, group = pair / n_each;
                if (pair >= stop) { /* beyond the end: the last pair again, which teaches nothing a second time */
                    memset(d + p * last, 0, last * sizeof *d);
                    continue;
                }
                const float *h = x + p * last, *product = user_product + group * n_factors, *factors = item_product + pair * n_factors;
                vec total = {0};
                for (int64_t j = 0; j < last; j += LANES) total = total + AT(h + j) * AT(output + j);
                for (int64_t j = 0; j < n_factors; j += LANES) total = total + AT(product + j) * AT(factors + j);
                float logit = sum(total) + output[last], small = expf(-fabsf(logit)), chosen = pair % n_each == 0;
                float weight = chosen_weights && chosen ? chosen_weights[group] : 1;
                loss += weight * ((logit > 0 ? logit : 0) - logit * chosen + log1pf(small));
                float error = (logit > 0 ? 1 / (1 + small) : small / (1 + small)) - chosen; /* d loss / d logit */
                error *= weight;
                if (logit != logit) error = logit;
                for (int64_t j = 0; j < last; j += LANES) {
                    AT(into + j) = AT(into + j) + AT(h + j) * error;
                    AT(d + p * last + j) = where_positive(AT(h + j), AT(output + j) * error);
                }
                into[last] += error;
                for (int64_t j = 0; j < n_factors; j += LANES) {
                    float *to = product_gradient + group * n_factors + j;
                    AT(to) = AT(to) + AT(factors + j) * error;
                    AT(factor_gradient + pair * n_factors + j) = AT(product + j) * error;
                }
            }
            /* Backward: d is the gradient by a layer's sums. */
            const float *back = backwards;
            for (int64_t l = n_layers - 1; l >= 1; l--) {
                int64_t K = widths[l - 1], N = widths[l];
                x -= TILE * K;
                into -= (K + 1) * N;
                weight_gradient(x, K, d, N, into);
                plain_layer(d, N, back, K, above);
                for (int64_t j = 0; j < TILE * K; j += LANES) AT(above + j) = where_positive(AT(x + j), AT(above + j));
                back += (N + 1) * K;
                float *read = d;
                d = above;
                above = read;
            }
            for (int64_t p = 0; p < TILE && start + p < stop; p++)
                for (int64_t k = 0; k < first_width; k += LANES) {
                    float *to = user_gradient + (start + p) / n_each * first_width + k;
                    AT(to) = AT(to) + AT(d + p * first_width + k);
                    AT(item_gradient + (start + p) * first_width + k) = AT(d + p * first_width + k);
                }
        }
        losses[t] = loss;
        free(room);
    }
    return failed;
}
