#include "base/hash_map.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/memory.h"

struct hash_map_slot {
    const void *key; /* NULL: free */
    uint32_t length;
    uint32_t value;
    uint64_t hash;
};

static uint64_t process_key[2];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void make_process_key(void)
{
    if (getrandom(process_key, sizeof process_key, GRND_NONBLOCK) != (ssize_t)sizeof process_key) {
        process_key[0] ^= (uint64_t)(uintptr_t)&process_key; /* early boot: address randomisation is better than nothing */
        process_key[1] ^= 0x9E3779B97F4A7C15u;
    }
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

uint64_t hash_sip24(const uint64_t key[2], const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t whole = length / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, in + i, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)(length & 0xFF) << 56;
    for (size_t i = whole; i < length; i++)
        last |= (uint64_t)in[i] << 8 * (i - whole);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xFF;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t hash_key(const void *key, size_t length)
{
    pthread_once(&process_key_once, make_process_key);
    return hash_sip24(process_key, key, length);
}

/* The slot of the key, or the free slot where it belongs. capacity > count holds, so the probe ends. */
static struct hash_map_slot *find_slot(const struct hash_map *map, const void *key, size_t length, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct hash_map_slot *slot = &map->slots[i];
        if (!slot->key || (slot->hash == hash && slot->length == length && memcmp(slot->key, key, length) == 0))
            return slot;
    }
}

int hash_map_reserve(struct hash_map *map, size_t count)
{
    size_t capacity = 16;
    while (capacity / 4 * 3 < count) {
        if (capacity > SIZE_MAX / 4)
            return SAMPAN_ENOMEM;
        capacity *= 2;
    }
    if (capacity <= map->capacity)
        return 0;
    struct hash_map grown = {.capacity = capacity, .count = map->count};
    grown.slots = mem_zalloc_array(capacity, sizeof *grown.slots);
    if (!grown.slots)
        return SAMPAN_ENOMEM;
    for (size_t i = 0; i < map->capacity; i++) {
        struct hash_map_slot *slot = &map->slots[i];
        if (slot->key)
            *find_slot(&grown, slot->key, slot->length, slot->hash) = *slot;
    }
    mem_free(map->slots);
    *map = grown;
    return 0;
}

void hash_map_free(struct hash_map *map)
{
    mem_free(map->slots);
    *map = (struct hash_map){0};
}

int hash_map_put(struct hash_map *map, const void *key, size_t length, uint32_t value, bool *existed)
{
    if (length > UINT32_MAX)
        return SAMPAN_ENOMEM;
    int status = hash_map_reserve(map, map->count + 1);
    if (status)
        return status;
    uint64_t hash = hash_key(key, length);
    struct hash_map_slot *slot = find_slot(map, key, length, hash);
    if (existed)
        *existed = slot->key != NULL;
    if (slot->key)
        return 0;
    *slot = (struct hash_map_slot){.key = key, .length = (uint32_t)length, .value = value, .hash = hash};
    map->count++;
    return 0;
}

bool hash_map_get(const struct hash_map *map, const void *key, size_t length, uint32_t *value)
{
    if (!map->capacity || length > UINT32_MAX)
        return false;
    const struct hash_map_slot *slot = find_slot(map, key, length, hash_key(key, length));
    if (!slot->key)
        return false;
    if (value)
        *value = slot->value;
    return true;
}
