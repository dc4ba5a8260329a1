/* Which handles live: every handle the emulator gives out is in this table, so garbage and destroyed handles are told apart from live ones without touching
 * what they point to, and what is still here at the end is a leak. */
#include "emulator.h"

#include <stdio.h>

#define BUCKETS 4096

static struct object *buckets[BUCKETS];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_id = 1;

static const char *const kind_names[OBJECT_KINDS] = {"context",       "stream",        "event",         "graph (aclmdlRI)", "task group",
                                                     "aclTensor",     "aclScalar",     "aclIntArray",   "aclFloatArray",    "aclBoolArray",
                                                     "aclTensorList", "aclScalarList", "aclOpExecutor", "physical memory"};

static unsigned bucket_of(const void *handle)
{
    uint64_t bits = (uint64_t)(uintptr_t)handle;
    return (unsigned)((bits >> 4) * 0x9E3779B97F4A7C15u >> 52) % BUCKETS;
}

void object_add(struct object *object, enum object_kind kind)
{
    unsigned bucket = bucket_of(object);
    pthread_mutex_lock(&table_lock);
    object->kind = kind;
    object->id = next_id++;
    object->maker = entry_name();
    object->next = buckets[bucket];
    buckets[bucket] = object;
    pthread_mutex_unlock(&table_lock);
}

bool object_is(const void *handle, enum object_kind kind)
{
    bool found = false;
    pthread_mutex_lock(&table_lock);
    for (struct object *o = buckets[bucket_of(handle)]; o && !found; o = o->next)
        found = o == handle && o->kind == kind;
    pthread_mutex_unlock(&table_lock);
    return found;
}

bool object_take(const void *handle, enum object_kind kind)
{
    bool found = false;
    pthread_mutex_lock(&table_lock);
    for (struct object **at = &buckets[bucket_of(handle)]; *at; at = &(*at)->next)
        if (*at == handle && (*at)->kind == kind) {
            *at = (*at)->next;
            found = true;
            break;
        }
    pthread_mutex_unlock(&table_lock);
    return found;
}

int object_refuse(const void *handle, enum object_kind kind)
{
    return fail(RT_INVALID_HANDLE, "%p is not a live %s: it was destroyed, or never was one", handle, kind_names[kind]);
}

unsigned object_list_leaks(void)
{
    unsigned count[OBJECT_KINDS] = {0}, total = 0;
    const char *maker[OBJECT_KINDS] = {0};
    pthread_mutex_lock(&table_lock);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct object *o = buckets[i]; o; o = o->next) {
            count[o->kind]++;
            maker[o->kind] = o->maker;
        }
    pthread_mutex_unlock(&table_lock);
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        if (count[kind]) {
            if (!emulator_settings()->quiet_leaks)
                fprintf(stderr, "ascend emulator: leak: %u x %s, one of them from %s\n", count[kind], kind_names[kind], maker[kind]);
            total += count[kind];
        }
    return total;
}
