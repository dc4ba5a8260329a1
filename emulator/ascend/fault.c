/* Faults on command. ASCEND_EMULATOR_FAULT is a list, separated by commas or semicolons; a running process takes orders at its control socket (control.c):
 *   kind@N            at the N-th exported call (1-based) or at the first later one that can suffer it; kind@+N: N calls from now
 *   kind%SEED:PERMIL  at random, PERMIL of a thousand of what can suffer it, drawn from SEED
 * What can suffer a kind: allocations (oom), beginnings of a capture or of an update (capture, update), tasks (all others). */
#include "emulator.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct order {
    enum fault kind;
    uint64_t call;   /* 0: at random */
    uint64_t random; /* state */
    unsigned permil;
    bool armed, done;
};

static const struct {
    const char *name;
    int code;
    const char *text;
} faults[FAULT_KINDS] = {
    [FAULT_NONE] = {"none", 0, ""},
    [FAULT_OOM] = {"oom", RT_MEMORY_ALLOCATION, "out of memory"},
    [FAULT_CAPTURE] = {"capture", RT_FEATURE_NOT_SUPPORT, "capture is refused"},
    [FAULT_UPDATE] = {"update", RT_FEATURE_NOT_SUPPORT, "the update of captured tasks is refused"},
    [FAULT_ECC] = {"ecc", RT_HBM_MULTI_BIT_ECC_ERROR, "multi-bit ECC error in HBM"},
    [FAULT_UCE] = {"uce", RT_DEVICE_MEM_ERROR, "uncorrectable error in device memory"},
    [FAULT_HEARTBEAT] = {"heartbeat", RT_LOST_HEARTBEAT, "the task scheduler lost its heartbeat"},
    [FAULT_TIMEOUT] = {"timeout", RT_AICORE_TIMEOUT, "an AI Core operator ran out of time"},
    [FAULT_EXCEPTION] = {"exception", RT_AICORE_EXCEPTION, "an AI Core operator raised an exception"},
    [FAULT_VECTOR] = {"vector", RT_VECTOR_CORE_EXCEPTION, "a vector core operator raised an exception"},
    [FAULT_AICPU] = {"aicpu", RT_AICPU_EXCEPTION, "an AI CPU operator raised an exception"},
    [FAULT_DMA] = {"dma", RT_SYS_DMA_ERROR, "a copy between host and device failed"},
    [FAULT_LINK] = {"link", RT_LINK_ERROR, "link error between devices"},
    [FAULT_HANG] = {"hang", RT_AICORE_TIMEOUT, "the device hung"},
    [FAULT_SLOW] = {"slow", 0, ""},
    [FAULT_BIT] = {"bit", 0, ""},
};

static struct order orders[32];
static _Atomic unsigned n_orders; /* read without the lock to see that there are none */
static pthread_once_t orders_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t orders_lock = PTHREAD_MUTEX_INITIALIZER;

/* kind@N, kind@+N or kind%SEED:PERMIL. */
static bool parse_order(const char *text, struct order *order)
{
    size_t length = strcspn(text, "@%");
    for (int kind = 1; kind < FAULT_KINDS; kind++)
        if (strlen(faults[kind].name) == length && !strncmp(text, faults[kind].name, length))
            order->kind = (enum fault)kind;
    bool later = text[length] == '@' && text[length + 1] == '+';
    const char *digits = text[length] ? text + length + 1 + later : "";
    char *end;
    if (*digits < '0' || *digits > '9')
        return false;
    uint64_t number = strtoull(digits, &end, 10);
    if (text[length] == '@') {
        order->call = number + (later ? count_get(COUNT_CALLS) : 0);
        return order->kind && order->call > 0 && *end == 0;
    }
    order->random = number * 2 + 1;
    order->permil = *end == ':' ? (unsigned)strtoul(end + 1, &end, 10) : 0;
    return order->kind && order->permil > 0 && *end == 0;
}

/* With the lock: a free place, that of an order which struck already if need be. NULL: none. */
static struct order *free_place(void)
{
    for (unsigned i = 0; i < n_orders; i++)
        if (orders[i].done)
            return &orders[i];
    return n_orders < sizeof orders / sizeof *orders ? &orders[n_orders++] : NULL;
}

static const char *add_order(const char *text)
{
    struct order order = {0};
    if (!parse_order(text, &order))
        return "the order is neither kind@CALL, kind@+CALLS nor kind%SEED:PERMIL with a known kind";
    pthread_mutex_lock(&orders_lock);
    struct order *place = free_place();
    if (place)
        *place = order;
    pthread_mutex_unlock(&orders_lock);
    return place ? NULL : "32 orders are waiting already";
}

static void read_orders(void)
{
    const char *environment = getenv("ASCEND_EMULATOR_FAULT");
    char text[1024], *rest = text;
    if (!environment)
        return;
    snprintf(text, sizeof text, "%s", environment);
    for (char *word; (word = strsep(&rest, ",;"));) {
        const char *wrong = *word ? add_order(word) : NULL;
        if (wrong)
            fprintf(stderr, "ascend emulator: ASCEND_EMULATOR_FAULT: '%s': %s\n", word, wrong);
    }
}

const char *fault_order(const char *text)
{
    pthread_once(&orders_once, read_orders);
    return add_order(text);
}

void fault_clear(void)
{
    pthread_once(&orders_once, read_orders);
    pthread_mutex_lock(&orders_lock);
    n_orders = 0;
    pthread_mutex_unlock(&orders_lock);
}

void fault_at_call(uint64_t call)
{
    pthread_once(&orders_once, read_orders);
    if (!n_orders)
        return;
    pthread_mutex_lock(&orders_lock);
    for (unsigned i = 0; i < n_orders; i++)
        if (orders[i].call && call >= orders[i].call && !orders[i].done)
            orders[i].armed = true;
    pthread_mutex_unlock(&orders_lock);
}

static bool draws(struct order *order)
{
    order->random ^= order->random << 13; /* xorshift64 */
    order->random ^= order->random >> 7;
    order->random ^= order->random << 17;
    return (order->random >> 20) % 1000 < order->permil;
}

/* What may suffer: an allocation, the beginning of a capture or of an update; FAULT_NONE: a task, which suffers every other kind. */
static enum fault take(enum fault suffers)
{
    pthread_once(&orders_once, read_orders);
    enum fault found = FAULT_NONE;
    if (!n_orders)
        return found;
    pthread_mutex_lock(&orders_lock);
    for (unsigned i = 0; i < n_orders && !found; i++) {
        struct order *order = &orders[i];
        bool by_call = order->kind == FAULT_OOM || order->kind == FAULT_CAPTURE || order->kind == FAULT_UPDATE;
        if ((by_call ? order->kind : FAULT_NONE) != suffers || order->done)
            continue;
        if (order->call ? order->armed : draws(order)) {
            found = order->kind;
            order->done = order->call != 0;
        }
    }
    pthread_mutex_unlock(&orders_lock);
    return found;
}

bool fault_take_oom(void)
{
    return take(FAULT_OOM) == FAULT_OOM;
}

bool fault_take_call(enum fault kind)
{
    return take(kind) == kind;
}

enum fault fault_take_task(void)
{
    return take(FAULT_NONE);
}

int fault_code(enum fault fault)
{
    return faults[fault].code;
}

const char *fault_text(enum fault fault)
{
    return faults[fault].text;
}
