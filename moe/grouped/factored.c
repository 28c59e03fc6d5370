/* The update of the factored second moment (moe/optimisers.py), in one pass per expert.
 *
 * torch's own operators take six passes over the weights' size, each of which goes through memory.
 * Here an expert's gradient is read for its averages and, while it is still in the cache, again
 * for the step. So gradient and weight are read once, and the weight is written once.
 */
#include <float.h>
#include <stdint.h>
#include <stdlib.h>

/* column[h] += g^2; returns the sum of g^2 over the row. */
static float sum_row(long H, const float *restrict g, float *restrict column) {
  float sum = 0;
  for (long h = 0; h < H; h++) {
    float square = g[h] * g[h];
    column[h] += square;
    sum += square;
  }
  return sum;
}

/* w <- w - lr g / (sqrt(V / (1 - beta2^t)) + eps), where the root is row times column. */
static void step_row(long H, float *restrict w, const float *restrict g, float row,
                     const float *restrict column, float lr, float eps) {
  for (long h = 0; h < H; h++) w[h] -= lr * g[h] / (row * column[h] + eps);
}

/* w and g are [E, D, H], row is [E, D] and column [E, H]. */
struct update {
  float *w;
  const float *g;
  float *row, *column;
  long D, H;
  double lr, beta2, eps, correction;
};

/* Update experts `first` up to `last`.
 * Returns 0, or -1 where there is no memory for one column. */
long update(long first, long last, const struct update *u) {
  const long D = u->D, H = u->H;
  float *root = malloc((size_t)(H ? H : 1) * sizeof(float));
  if (!root) return -1;
  const float fresh = (float)(1 - u->beta2);
  for (long e = first; e < last; e++) {
    float *r = u->row + e * D, *c = u->column + e * H;
    const float *gradient = u->g + e * D * H;
    float total = 0;
    for (long h = 0; h < H; h++) root[h] = 0;
    for (long d = 0; d < D; d++) {
      /* r <- beta2 r + (1 - beta2) mean_columns(g^2), as torch's lerp rounds it; c alike. */
      float mean = sum_row(H, gradient + d * H, root) / (float)H;
      r[d] += fresh * (mean - r[d]);
      total += r[d];
    }
    for (long h = 0; h < H; h++) {
      c[h] += fresh * (root[h] / (float)D - c[h]);
      root[h] = __builtin_sqrtf(c[h]);
    }
    /* An expert without a token so far has zero averages, and must stay as it is. */
    float mean = total / (float)D;
    if (mean < FLT_MIN) mean = FLT_MIN;
    for (long d = 0; d < D; d++) {
      float scale = __builtin_sqrtf(r[d] / mean / (float)u->correction);
      step_row(H, u->w + (e * D + d) * H, gradient + d * H, scale, root, (float)u->lr,
               (float)u->eps);
    }
  }
  free(root);
  return 0;
}
