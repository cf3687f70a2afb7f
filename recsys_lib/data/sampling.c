/* For each (row, column) of wanted (B, n): how many keys of its user's row, keys[start .. stop), are no greater. A search
of one row, where torch.searchsorted searches all rows. Returns 0. */

#include <stdint.h>

int count_up_to(const int64_t *keys, const int64_t *start, const int64_t *stop, const int64_t *users, int64_t rows,
                const int64_t *wanted, int64_t n, int64_t *counts, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const int64_t *row = keys + start[users[r]];
        int64_t length = stop[users[r]] - start[users[r]];
        for (int64_t i = r * n; i < (r + 1) * n; i++) {
            int64_t low = 0;
            for (int64_t left = length, half; left > 0; left -= half) { /* without a branch that nobody could predict */
                half = (left + 1) / 2;
                low += (row[low + half - 1] <= wanted[i]) * half;
            }
            counts[i] = low;
        }
    }
    return 0;
}
