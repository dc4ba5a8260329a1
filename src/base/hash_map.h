/* A hash map from byte strings to 32-bit values: vocabularies, tensor names, metadata keys. Keys are NOT copied: they must outlive the map (they
 * live in an arena). Open addressing, linear probing, SipHash-2-4 with a per-process random key, so that a hostile file cannot choose keys that
 * collide. Thread: reads may run in parallel once nobody writes. */
#ifndef BASE_HASH_MAP_H
#define BASE_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_map_slot;

struct hash_map {
    struct hash_map_slot *slots; /* [capacity], owned */
    size_t capacity;             /* 0 or a power of two */
    size_t count;
};

int hash_map_reserve(struct hash_map *map, size_t count); /* 0 or SAMPAN_ENOMEM; room for `count` keys without growing */
void hash_map_free(struct hash_map *map);                 /* back to empty; {0} is an empty map */

/* Adds a key, or leaves the map alone and sets *existed (may be NULL) when it is there. 0 or SAMPAN_ENOMEM. */
int hash_map_put(struct hash_map *map, const void *key, size_t length, uint32_t value, bool *existed);
bool hash_map_get(const struct hash_map *map, const void *key, size_t length, uint32_t *value); /* false: absent */

/* The hash itself (SipHash-2-4, Aumasson & Bernstein 2012) with the given 128-bit key. */
uint64_t hash_sip24(const uint64_t key[2], const void *bytes, size_t length);

#endif
