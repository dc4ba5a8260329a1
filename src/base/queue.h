/* A bounded queue of fixed-size elements: the way in which threads hand each other messages. Many producers, one consumer; first in, first out. A full queue is
 * a clear refusal (SAMPAN_EBUSY), never growth; all memory is taken at the start. A mutex and a condition variable: nobody spins.
 *
 *   elements: [ free | first ... oldest to newest ... | free ]  a ring of `capacity` elements of `element_size` bytes
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned char *elements; /* [capacity * element_size], owned */
    size_t element_size;     /* bytes */
    size_t capacity;
    size_t first;
    size_t count;
    bool woken; /* queue_wake was called since the last queue_wait returned */
};

int queue_init(struct queue *queue, size_t element_size, size_t capacity, struct error *err);
void queue_free(struct queue *queue); /* nobody may wait on it any more; {0} is legal */

int queue_push(struct queue *queue, const void *element); /* copies; 0 or SAMPAN_EBUSY. Any thread */
bool queue_pop(struct queue *queue, void *element);       /* false: empty. The consumer */

/* Waits until there is an element or queue_wake was called; false when timeout_ns passed first. UINT64_MAX: for ever. The consumer. */
bool queue_wait(struct queue *queue, uint64_t timeout_ns);
void queue_wake(struct queue *queue); /* ends the present wait, or the next one. Any thread */

/* A condition variable on CLOCK_MONOTONIC, and a wait on it that ends after timeout_ns (UINT64_MAX: never by time); false: the time passed. */
int condition_init(pthread_cond_t *condition);
struct timespec condition_deadline(uint64_t timeout_ns);
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t timeout_ns, const struct timespec *deadline);

#endif
