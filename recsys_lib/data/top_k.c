/* The k largest of each row, in two passes over it. top_k.py says what is promised; this is the same, faster.

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
