#include "base/queue.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

int condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes))
        return SAMPAN_ENOMEM;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed ? SAMPAN_ENOMEM : 0;
}

struct timespec condition_deadline(uint64_t timeout_ns)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t end = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    return (struct timespec){.tv_sec = (time_t)(end / 1000000000u), .tv_nsec = (long)(end % 1000000000u)};
}

bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t timeout_ns, const struct timespec *deadline)
{
    if (timeout_ns == UINT64_MAX)
        return pthread_cond_wait(condition, lock) == 0;
    return pthread_cond_timedwait(condition, lock, deadline) == 0;
}

int queue_init(struct queue *queue, size_t element_size, size_t capacity, struct error *err)
{
    *queue = (struct queue){.element_size = element_size, .capacity = capacity};
    queue->elements = mem_alloc_array(capacity, element_size);
    if (!queue->elements)
        return error_no_memory(err, "making a queue");
    if (pthread_mutex_init(&queue->lock, NULL) || condition_init(&queue->changed)) {
        mem_free(queue->elements);
        *queue = (struct queue){0};
        return error_no_memory(err, "making a queue");
    }
    return 0;
}

void queue_free(struct queue *queue)
{
    if (!queue->elements)
        return;
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    mem_free(queue->elements);
    *queue = (struct queue){0};
}

int queue_push(struct queue *queue, const void *element)
{
    pthread_mutex_lock(&queue->lock);
    bool full = queue->count == queue->capacity;
    if (!full) {
        size_t last = (queue->first + queue->count) % queue->capacity;
        memcpy(queue->elements + last * queue->element_size, element, queue->element_size);
        queue->count++;
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return full ? SAMPAN_EBUSY : 0;
}

bool queue_pop(struct queue *queue, void *element)
{
    pthread_mutex_lock(&queue->lock);
    bool found = queue->count > 0;
    if (found) {
        memcpy(element, queue->elements + queue->first * queue->element_size, queue->element_size);
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

bool queue_wait(struct queue *queue, uint64_t timeout_ns)
{
    struct timespec deadline = condition_deadline(timeout_ns);
    pthread_mutex_lock(&queue->lock);
    while (!queue->count && !queue->woken)
        if (!condition_wait_until(&queue->changed, &queue->lock, timeout_ns, &deadline))
            break;
    bool found = queue->count || queue->woken;
    queue->woken = false;
    pthread_mutex_unlock(&queue->lock);
    return found;
}

void queue_wake(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->woken = true;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
