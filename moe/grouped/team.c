/* Pieces of work for several threads at once: see team.py.
 *
 * Every thread of a team calls `work_off`. It takes the next piece until none is left, so that a
 * thread that was held up, or had a dear piece, takes fewer.
 */
#include <stdint.h>

struct team {
  long (*kernel)(long first, long last, const void *arguments);
  const void *arguments;
  long next, end, size; /* the pieces are `size` experts from `next` on */
  long sum, lowest;     /* of the kernel's answers */
};

void work_off(struct team *t) {
  for (;;) {
    long first = __atomic_fetch_add(&t->next, t->size, __ATOMIC_RELAXED);
    if (first >= t->end) return;
    long last = t->end - first < t->size ? t->end : first + t->size;
    long answer = t->kernel(first, last, t->arguments);
    __atomic_fetch_add(&t->sum, answer, __ATOMIC_RELAXED);
    if (answer < 0) __atomic_store_n(&t->lowest, answer, __ATOMIC_RELAXED);
  }
}
