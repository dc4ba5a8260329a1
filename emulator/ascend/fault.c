/* Faults on command. ASCEND_EMULATOR_FAULT is a list, separated by commas or semicolons:
 *   kind@N            at the N-th exported call (1-based) or at the first later one that can suffer it
 *   kind%SEED:PERMIL  at random, PERMIL of a thousand allocations (oom) or tasks (all others), drawn from SEED
 * Kinds: oom ecc uce heartbeat timeout exception link hang slow bit. */
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
    [FAULT_ECC] = {"ecc", RT_HBM_MULTI_BIT_ECC_ERROR, "multi-bit ECC error in HBM"},
    [FAULT_UCE] = {"uce", RT_DEVICE_MEM_ERROR, "uncorrectable error in device memory"},
    [FAULT_HEARTBEAT] = {"heartbeat", RT_LOST_HEARTBEAT, "the task scheduler lost its heartbeat"},
    [FAULT_TIMEOUT] = {"timeout", RT_AICORE_TIMEOUT, "an AI Core operator ran out of time"},
    [FAULT_EXCEPTION] = {"exception", RT_AICORE_EXCEPTION, "an AI Core operator raised an exception"},
    [FAULT_LINK] = {"link", RT_LINK_ERROR, "link error between devices"},
    [FAULT_HANG] = {"hang", RT_AICORE_TIMEOUT, "the device hung"},
    [FAULT_SLOW] = {"slow", 0, ""},
    [FAULT_BIT] = {"bit", 0, ""},
};

static struct order orders[32];
static unsigned n_orders;
static pthread_once_t orders_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t orders_lock = PTHREAD_MUTEX_INITIALIZER;

static bool parse_order(const char *text, struct order *order)
{
    size_t length = strcspn(text, "@%");
    for (int kind = 1; kind < FAULT_KINDS; kind++)
        if (strlen(faults[kind].name) == length && !strncmp(text, faults[kind].name, length))
            order->kind = (enum fault)kind;
    char *end;
    uint64_t number = strtoull(text[length] ? text + length + 1 : "", &end, 10);
    if (text[length] == '@') {
        order->call = number;
        return order->kind && number > 0 && *end == 0;
    }
    order->random = number * 2 + 1;
    order->permil = *end == ':' ? (unsigned)strtoul(end + 1, &end, 10) : 0;
    return order->kind && text[length] == '%' && order->permil > 0 && *end == 0;
}

static void read_orders(void)
{
    const char *environment = getenv("ASCEND_EMULATOR_FAULT");
    if (!environment)
        return;
    char text[1024], *rest = text;
    snprintf(text, sizeof text, "%s", environment);
    for (char *word; (word = strsep(&rest, ",;")) && n_orders < sizeof orders / sizeof *orders;)
        if (*word && parse_order(word, &orders[n_orders]))
            n_orders++;
        else if (*word)
            fprintf(stderr, "ascend emulator: ASCEND_EMULATOR_FAULT: '%s' is neither kind@CALL nor kind%%SEED:PERMIL with a known kind\n", word);
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

static enum fault take(bool of_memory)
{
    pthread_once(&orders_once, read_orders);
    enum fault found = FAULT_NONE;
    if (!n_orders)
        return found;
    pthread_mutex_lock(&orders_lock);
    for (unsigned i = 0; i < n_orders && !found; i++) {
        struct order *order = &orders[i];
        if ((order->kind == FAULT_OOM) != of_memory || order->done)
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
    return take(true) == FAULT_OOM;
}

enum fault fault_take_task(void)
{
    return take(false);
}

int fault_code(enum fault fault)
{
    return faults[fault].code;
}

const char *fault_text(enum fault fault)
{
    return faults[fault].text;
}
