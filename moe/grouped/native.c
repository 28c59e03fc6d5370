/* Products of rows with one matrix per expert, rows sorted by expert: see native.py.
 *
 * With few rows per expert these products are bound by reading (and, for the gradient, writing)
 * the matrices. So every matrix is read once, in order and ahead of use, and the gradient is
 * written past the cache, which saves reading it first. No row is padded.
 *
 * Compiled once for float and once for double (REAL). Names as in moe/grouped/backends.py: D
 * features in, H features out, `start` the first row of every expert. A product leaves out experts
 * of more than `most` rows, for which a library's matrix product is faster.
 */
#include <stdint.h>

#ifndef REAL
#define REAL float
#endif
#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define LANES ((long)(BYTES / sizeof(REAL)))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* Hold a value in a register: GCC would load it anew for each product, and then loads, not
 * products, set the pace. */
#ifdef __AVX512F__
#define KEEP(value) __asm__("" : "+v"(value))
#else
#define KEEP(value)
#endif
#define LINE (64 / (long)sizeof(REAL))

typedef REAL vec __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));

enum {
  DEPTH = 32, /* rows of a matrix that stay in the first cache while eight tokens pass */
  ROWS = 32   /* tokens whose answers stay there while the matrix passes */
};

/* How a vector is handed to a function is no matter where every such function is inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#ifdef __x86_64__
#include <immintrin.h>
INLINE void store_past_cache(REAL *to, vec value) {
#ifdef __AVX512F__
  _mm512_stream_si512((void *)to, (__m512i)value);
#else
  _mm_stream_si128((__m128i *)to, ((__m128i *)&value)[0]);
  _mm_stream_si128((__m128i *)to + 1, ((__m128i *)&value)[1]);
#endif
}
#define FENCE() _mm_sfence()
#else
INLINE void store_past_cache(REAL *to, vec value) { *(vec *)to = value; }
#define FENCE()
#endif

/* Call F with a constant number of rows, 1 to 8, so that its sums stay in registers. */
#define WITH_CONSTANT(F, rows, ...)                                                              \
  switch (rows) {                                                                                \
  case 1: F(1, __VA_ARGS__); break;                                                              \
  case 2: F(2, __VA_ARGS__); break;                                                              \
  case 3: F(3, __VA_ARGS__); break;                                                              \
  case 4: F(4, __VA_ARGS__); break;                                                              \
  case 5: F(5, __VA_ARGS__); break;                                                              \
  case 6: F(6, __VA_ARGS__); break;                                                              \
  case 7: F(7, __VA_ARGS__); break;                                                              \
  default: F(8, __VA_ARGS__);                                                                    \
  }

INLINE long at_most(long value, long limit) { return value < limit ? value : limit; }

/* out[m][width vectors] (+)= x[m][depth] w[depth][...] */
INLINE void forward_tile(const int m, const int width, int add, int ahead, const REAL *x, long D,
                         long depth, const REAL *w, REAL *out, long H) {
  vec sum[8][2];
  UNROLL for (int r = 0; r < m; r++) UNROLL for (int c = 0; c < width; c++)
    sum[r][c] = add ? *(const vec *)(out + r * H + c * LANES) : (vec){0};
  for (long k = 0; k < depth; k++) {
    vec b[2];
    UNROLL for (int c = 0; c < width; c++) {
      b[c] = *(const vec *)(w + k * H + c * LANES);
      if (ahead) __builtin_prefetch(w + (k + DEPTH) * H + c * LANES, 0, 2);
    }
    UNROLL for (int r = 0; r < m; r++) UNROLL for (int c = 0; c < width; c++)
      sum[r][c] += x[r * D + k] * b[c];
  }
  UNROLL for (int r = 0; r < m; r++) UNROLL for (int c = 0; c < width; c++)
    *(vec *)(out + r * H + c * LANES) = sum[r][c];
}

INLINE void forward_rows(const int m, int add, int ahead, const REAL *x, long D, long depth,
                         const REAL *w, REAL *out, long H) {
  long j = 0;
  for (; j + 2 * LANES <= H; j += 2 * LANES)
    forward_tile(m, 2, add, ahead, x, D, depth, w + j, out + j, H);
  for (; j + LANES <= H; j += LANES)
    forward_tile(m, 1, add, ahead, x, D, depth, w + j, out + j, H);
  for (; j < H; j++)
    for (int r = 0; r < m; r++) {
      REAL sum = add ? out[r * H + j] : 0;
      for (long k = 0; k < depth; k++) sum += x[r * D + k] * w[k * H + j];
      out[r * H + j] = sum;
    }
}

/* The whole matrix passes for eight tokens at a time: the second cache has it for the next eight. */
static void expert_forward(long n, const REAL *x, const REAL *w, REAL *out, long D, long H) {
  for (long r = 0; r < n; r += 8)
    for (long k = 0; k < D; k += DEPTH) {
      long depth = at_most(D - k, DEPTH);
      WITH_CONSTANT(forward_rows, at_most(n - r, 8), k > 0, k + 2 * DEPTH <= D, x + r * D + k, D,
                    depth, w + k * H, out + r * H, H)
    }
}

INLINE REAL total(vec value) {
  REAL sum = 0;
  for (long i = 0; i < LANES; i++) sum += value[i];
  return sum;
}

/* d[m][width] = g[m][H] . w[width][H], dot products along H */
INLINE void rows_tile(const int m, const int width, const REAL *g, const REAL *w, REAL *d, long D,
                      long H) {
  vec sum[8][4];
  UNROLL for (int r = 0; r < m; r++) UNROLL for (int c = 0; c < width; c++) sum[r][c] = (vec){0};
  long j = 0;
  for (; j + LANES <= H; j += LANES) {
    vec b[4];
    UNROLL for (int c = 0; c < width; c++) {
      b[c] = *(const vec *)(w + c * H + j);
      KEEP(b[c]);
      __builtin_prefetch(w + (c + 16) * H + j, 0, 2);
    }
    UNROLL for (int r = 0; r < m; r++) {
      vec a = *(const vec *)(g + r * H + j);
      KEEP(a);
      UNROLL for (int c = 0; c < width; c++) sum[r][c] += a * b[c];
    }
  }
  UNROLL for (int r = 0; r < m; r++) UNROLL for (int c = 0; c < width; c++) {
    REAL dot = total(sum[r][c]);
    for (long rest = j; rest < H; rest++) dot += g[r * H + rest] * w[c * H + rest];
    d[r * D + c] = dot;
  }
}

INLINE void rows_of_columns(const int m, long columns, const REAL *g, const REAL *w, REAL *d,
                            long D, long H) {
  if (columns == 4)
    rows_tile(m, 4, g, w, d, D, H);
  else
    for (long c = 0; c < columns; c++) rows_tile(m, 1, g, w + c * H, d + c, D, H);
}

static void block_rows(long n, const REAL *g, const REAL *w, REAL *d, long D, long H) {
  for (long k = 0; k < D; k += 4)
    for (long r = 0; r < n; r += 4)
      WITH_CONSTANT(rows_of_columns, at_most(n - r, 4), at_most(D - k, 4), g + r * H, w + k * H,
                    d + r * D + k, D, H)
}

/* out[height][width vectors] (+)= x[n][height]^T g[n][...] */
INLINE void weight_tile(const int height, const int width, int add, int past_cache, long n,
                        const REAL *x, long D, const REAL *g, REAL *out, long H) {
  vec sum[4][4];
  UNROLL for (int a = 0; a < height; a++) UNROLL for (int c = 0; c < width; c++)
    sum[a][c] = add ? *(const vec *)(out + a * H + c * LANES) : (vec){0};
  for (long r = 0; r < n; r++) {
    vec b[4];
    UNROLL for (int c = 0; c < width; c++) {
      b[c] = *(const vec *)(g + r * H + c * LANES);
      KEEP(b[c]);
    }
    UNROLL for (int a = 0; a < height; a++) UNROLL for (int c = 0; c < width; c++)
      sum[a][c] += x[r * D + a] * b[c];
  }
  UNROLL for (int a = 0; a < height; a++) UNROLL for (int c = 0; c < width; c++) {
    REAL *to = out + a * H + c * LANES;
    if (past_cache) store_past_cache(to, sum[a][c]);
    else *(vec *)to = sum[a][c];
  }
}

INLINE void weight_columns(const int height, int add, int past_cache, long n, const REAL *x,
                           long D, const REAL *g, REAL *out, long H) {
  long j = 0;
  for (; j + 4 * LANES <= H; j += 4 * LANES)
    weight_tile(height, 4, add, past_cache, n, x, D, g + j, out + j, H);
  for (; j + LANES <= H; j += LANES)
    weight_tile(height, 1, add, past_cache, n, x, D, g + j, out + j, H);
  for (; j < H; j++)
    for (int a = 0; a < height; a++) {
      REAL sum = add ? out[a * H + j] : 0;
      for (long r = 0; r < n; r++) sum += x[r * D + a] * g[r * H + j];
      out[a * H + j] = sum;
    }
}

static void block_weight(int add, int past_cache, long n, const REAL *x, const REAL *g, REAL *out,
                         long D, long H) {
  long k = 0;
  for (; k + 4 <= D; k += 4) weight_columns(4, add, past_cache, n, x + k, D, g, out + k * H, H);
  for (; k < D; k++) weight_columns(1, add, past_cache, n, x + k, D, g, out + k * H, H);
}

/* One product. `a` are rows [rows][D], or [rows][H] for the gradient by the rows; `b` are the
 * matrices, or for their gradient the rows [rows][H]. There `out` holds experts from `origin` on. */
struct product {
  const int64_t *start;
  const REAL *a, *b;
  REAL *out;
  long rows, most, D, H, origin, past_cache;
};

/* Each product returns how many experts it left out, or -1 where their rows are not among the
 * `rows` that there are. */
#define FOR_EXPERTS                                                                              \
  const long D = p->D, H = p->H;                                                                 \
  long left_out = 0;                                                                             \
  for (long e = first; e < last; e++) {                                                          \
    const long s = p->start[e], n = p->start[e + 1] - s;                                         \
    if (s < 0 || n < 0 || s + n > p->rows) return -1;                                            \
    left_out += n > p->most;                                                                     \
    if (n > p->most) continue;

long forward(long first, long last, const struct product *p) {
  FOR_EXPERTS expert_forward(n, p->a + s * D, p->b + e * D * H, p->out + s * H, D, H);
  }
  return left_out;
}

long backward_rows(long first, long last, const struct product *p) {
  FOR_EXPERTS
    for (long r = s; r < s + n; r += ROWS)
      block_rows(at_most(s + n - r, ROWS), p->a + r * H, p->b + e * D * H, p->out + r * D, D, H);
  }
  return left_out;
}

long backward_weight(long first, long last, const struct product *p) {
  const int past_cache = p->past_cache && p->H % LINE == 0 && (uintptr_t)p->out % 64 == 0;
  const REAL *x = p->a, *g = p->b;
  FOR_EXPERTS
    REAL *matrix = p->out + (e - p->origin) * D * H;
    block_weight(0, past_cache && n <= ROWS, at_most(n, ROWS), x + s * D, g + s * H, matrix, D, H);
    for (long r = s + ROWS; r < s + n; r += ROWS)
      block_weight(1, 0, at_most(s + n - r, ROWS), x + r * D, g + r * H, matrix, D, H);
  }
  FENCE();
  return left_out;
}
