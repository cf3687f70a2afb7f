/* The k largest of each row, in two passes over it, or of a product of two matrices while it is made. top_k.py says what
is promised; this is the same, faster.

A score and its index become one 64-bit key whose order is the promised order: the larger score first, of equal ones
the lower index, NaN before everything. The first pass takes the largest score of each of about four times k groups; the
k-th of these is a bar that at least k scores reach. The second pass lists what reaches the bar: little more than k. Where
many scores are equal the list fills up; then its k best stay and the bar rises. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16  /* scores that the compiler may compare at once */
#define STRIDE 64 /* scores that are passed over together when none reaches the bar */

static inline uint64_t key_of(float score, uint32_t index) {
    uint32_t bits;
    score += 0.0f; /* -0 equals 0 */
    memcpy(&bits, &score, 4);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u; /* unsigned order = order of the floats */
    if (score != score) bits = 0xFFFFFFFFu;
    return (uint64_t)bits << 32 | (uint32_t)~index;
}

static inline uint32_t index_of(uint64_t key) { return ~(uint32_t)key; }

static inline float score_of(uint64_t key) {
    uint32_t bits = key >> 32;
    float score;
    bits = bits >> 31 ? bits & 0x7FFFFFFFu : ~bits;
    memcpy(&score, &bits, 4);
    return score;
}

/* Moves the k largest of n keys to the front, in any order (Hoare's quickselect). */
static void select_largest(uint64_t *keys, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        uint64_t pivot = keys[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (keys[i] > pivot) i++;
            while (keys[j] < pivot) j--;
            if (i <= j) {
                uint64_t kept = keys[i];
                keys[i++] = keys[j];
                keys[j--] = kept;
            }
        }
        if (k - 1 <= j) high = j;
        else if (k - 1 >= i) low = i;
        else return;
    }
}

static void sort_descending(uint64_t *keys, int64_t n) { /* Shell sort: for a short list, and nothing to call */
    static const int gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};
    for (unsigned g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (int64_t i = gaps[g]; i < n; i++) {
            uint64_t key = keys[i];
            int64_t j = i;
            for (; j >= gaps[g] && keys[j - gaps[g]] < key; j -= gaps[g]) keys[j] = keys[j - gaps[g]];
            keys[j] = key;
        }
}

static float smallest_score(const uint64_t *keys, int64_t k) {
    uint64_t smallest = keys[0];
    for (int64_t i = 1; i < k; i++) smallest = keys[i] < smallest ? keys[i] : smallest;
    return score_of(smallest);
}

/* Just below a score that at least k of the row reach. `list` has room for a key of each group. */
static float first_bar(const float *row, int64_t n, int64_t k, uint64_t *list) {
    int64_t depth = n / LANES / (4 * k / LANES + 1), groups = 0;
    if (depth < 2) return -INFINITY;
    for (int64_t start = 0; start + depth * LANES <= n; start += depth * LANES) {
        float largest[LANES]; /* of LANES groups, each every LANES-th score of this stretch */
        for (int j = 0; j < LANES; j++) largest[j] = row[start + j];
        for (int64_t i = 1; i < depth; i++)
            for (int j = 0; j < LANES; j++) {
                float score = row[start + i * LANES + j];
                largest[j] = score > largest[j] ? score : largest[j];
            }
        for (int j = 0; j < LANES; j++) list[groups++] = key_of(largest[j] == largest[j] ? largest[j] : -INFINITY, 0);
    }
    if (groups < k) return -INFINITY;
    select_largest(list, groups, k);
    float bar = smallest_score(list, k);
    /* A denormal bar would equal 0 where a library has switched denormals off. */
    return fabsf(bar) < FLT_MIN ? -FLT_MIN : nextafterf(bar, -INFINITY);
}

static void one_row(const float *row, int64_t n, int64_t k, uint64_t *list, int64_t room, float *values, int64_t *indexes) {
    int64_t count = 0;
    float bar = first_bar(row, n, k, list); /* what is not above it cannot be among the k largest */
    for (int64_t start = 0; start < n; start += STRIDE) {
        int64_t stop = start + STRIDE < n ? start + STRIDE : n;
        if (stop - start == STRIDE) {
            int above = 0;
            for (int64_t i = start; i < start + STRIDE; i++) above |= !(row[i] <= bar); /* NaN is above */
            if (!above) continue;
        }
        for (int64_t i = start; i < stop; i++) {
            if (row[i] <= bar) continue;
            list[count++] = key_of(row[i], (uint32_t)i);
            if (count == room) {
                select_largest(list, count, k);
                count = k;
                bar = smallest_score(list, k); /* those that equal it and come later have a higher index */
                if (bar != bar) bar = INFINITY;
            }
        }
    }
    for (int64_t i = 0; count < k && i < n; i++) /* only -inf is left: by index */
        if (row[i] == -INFINITY) list[count++] = key_of(row[i], (uint32_t)i);
    select_largest(list, count, k);
    sort_descending(list, k);
    for (int64_t i = 0; i < k; i++) {
        indexes[i] = index_of(list[i]);
        values[i] = row[indexes[i]];
    }
}

/* scores (rows, n); items hidden[ends[r] .. ends[r + 1]) of row r become -inf first (ends: rows + 1 numbers, or NULL).
Returns 0, or 1 when memory is short. */
int top_k(float *scores, int64_t rows, int64_t n, int64_t k, const int64_t *ends, const int64_t *hidden, float *values,
          int64_t *indexes, int64_t threads) {
    int64_t room = 6 * k + 2 * LANES; /* first_bar makes at most 1.5 (4 k + LANES) groups */
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        uint64_t *list = malloc(room * sizeof *list);
        if (!list) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            if (!list) continue;
            float *row = scores + r * n;
            if (ends)
                for (int64_t h = ends[r]; h < ends[r + 1]; h++) row[hidden[h - ends[0]]] = -INFINITY;
            one_row(row, n, k, list, room, values + r * k, indexes + r * k);
        }
        free(list);
    }
    return failed;
}

/* ---- of a product that is never written down

Scores of a few rows by a panel of columns are made in the registers and looked at once, while they lie in the nearest
cache. What is above a row's bar goes on its list; a full list keeps its k best, and the bar rises to the last of them. */

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { WIDTH = 16, WIDE = 4, FEW = 6 }; /* FEW * WIDE sums and WIDE items' vectors fit the 32 registers */
#elif defined(__AVX2__)
enum { WIDTH = 8, WIDE = 2, FEW = 6 };
#else
enum { WIDTH = 4, WIDE = 4, FEW = 6 };
#endif
enum { PANEL = WIDE * WIDTH /* divides 64 */, ROWS = 16 * FEW }; /* rows that a thread serves at once, so that a panel is read once for them */

typedef float vec __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
#define AT(address) (*(vec *)(address))

/* Columns that lie side by side: the caller packs the other matrix in panels of so many. */
int64_t top_k_panel(void) { return PANEL; }

/* y (FEW, PANEL) = b + x (FEW, d) panel (d, PANEL); each sum is added up in the order of d, whatever lies around it. */
static inline void multiply(const float *const *x, int64_t d, const float *panel, const float *b, float *y) {
    vec sums[FEW][WIDE];
    for (int r = 0; r < FEW; r++)
        for (int v = 0; v < WIDE; v++) sums[r][v] = AT(b + v * WIDTH);
    for (int64_t j = 0; j < d; j++) {
        vec items[WIDE];
        for (int v = 0; v < WIDE; v++) items[v] = AT(panel + j * PANEL + v * WIDTH);
        for (int r = 0; r < FEW; r++)
            for (int v = 0; v < WIDE; v++) sums[r][v] = sums[r][v] + items[v] * x[r][j];
    }
    for (int r = 0; r < FEW; r++)
        for (int v = 0; v < WIDE; v++) AT(y + r * PANEL + v * WIDTH) = sums[r][v];
}

typedef struct {
    uint64_t *keys;
    int64_t count;
    float bar; /* what is not above it cannot be among the k largest */
} List;

/* Which of a panel's scores are above the bar, as bits; NaN is. */
static inline uint64_t above(const float *scores, float bar) {
    uint64_t found = 0;
#if defined(__AVX512F__)
    for (int v = 0; v < WIDE; v++)
        found |= (uint64_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(scores + v * WIDTH), _mm512_set1_ps(bar), _CMP_NLE_UQ) << v * WIDTH;
#elif defined(__AVX2__)
    for (int v = 0; v < WIDE; v++)
        found |= (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(scores + v * WIDTH), _mm256_set1_ps(bar), _CMP_NLE_UQ)) << v * WIDTH;
#else
    for (int i = 0; i < PANEL; i++) found |= (uint64_t) !(scores[i] <= bar) << i;
#endif
    return found;
}

/* Scores of columns first .. first + PANEL - 1; `out`: a bit for each of them that is left out. */
static inline void take(List *list, const float *scores, int64_t first, uint64_t out, int64_t k, int64_t room) {
    for (uint64_t left = above(scores, list->bar) & ~out; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        if (scores[i] <= list->bar) continue; /* it has risen meanwhile */
        list->keys[list->count++] = key_of(scores[i], (uint32_t)(first + i));
        if (list->count == room) {
            select_largest(list->keys, room, k);
            list->count = k;
            list->bar = smallest_score(list->keys, k); /* those that equal it and come later have a higher index */
            if (list->bar != list->bar) list->bar = INFINITY;
        }
    }
}

/* The k largest of each row of x (rows, d) times the panels, plus b; hidden[ends[r] .. ends[r + 1]) of row r are left
out. Where fewer than k are left: -inf at index 0. Returns 0, or 1 when memory is short. */
int top_k_of_product(const float *x, int64_t rows, int64_t d, const float *panels, const float *b, int64_t n, int64_t k,
                     const int64_t *ends, const int64_t *hidden, float *values, int64_t *indexes, int64_t threads) {
    int64_t room = 6 * k + 2 * LANES, words = (n + 63) / 64, chunks = (rows + ROWS - 1) / ROWS;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        uint64_t *keys = malloc(ROWS * room * sizeof *keys);
        uint64_t *bits = malloc(ROWS * words * sizeof *bits); /* of each row the columns that are left out */
        if (!keys || !bits) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t c = 0; c < chunks; c++) {
            if (!keys || !bits) continue;
            int64_t first = c * ROWS, last = first + ROWS < rows ? first + ROWS : rows;
            List lists[ROWS];
            for (int64_t r = first; r < last; r++) {
                lists[r - first] = (List){keys + (r - first) * room, 0, -INFINITY};
                uint64_t *out = bits + (r - first) * words;
                memset(out, 0, words * sizeof *out);
                for (int64_t h = ends[r]; h < ends[r + 1]; h++) {
                    int64_t column = hidden[h - ends[0]];
                    out[column / 64] |= 1ull << column % 64;
                }
                if (n % 64) out[words - 1] |= ~0ull << n % 64; /* the last panel's empty columns */
            }
            for (int64_t start = 0; start < n; start += PANEL)
                for (int64_t r = first; r < last; r += FEW) {
                    const float *few[FEW];
                    float scores[FEW * PANEL];
                    for (int p = 0; p < FEW; p++) few[p] = x + (r + p < last ? r + p : last - 1) * d;
                    multiply(few, d, panels + start * d, b + start, scores);
                    for (int p = 0; p < FEW && r + p < last; p++)
                        take(lists + r - first + p, scores + p * PANEL, start,
                             bits[(r - first + p) * words + start / 64] >> start % 64, k, room);
                }
            for (int64_t r = first; r < last; r++) {
                List *list = lists + r - first;
                int64_t left = list->count < k ? list->count : k;
                select_largest(list->keys, list->count, left);
                sort_descending(list->keys, left);
                for (int64_t i = 0; i < k; i++) {
                    indexes[r * k + i] = i < left ? index_of(list->keys[i]) : 0;
                    values[r * k + i] = i < left ? score_of(list->keys[i]) : -INFINITY;
                }
            }
        }
        free(keys);
        free(bits);
    }
    return failed;
}
