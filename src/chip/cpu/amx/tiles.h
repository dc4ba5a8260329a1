/* The tile operations that amx/panels.c needs, over AMX where the compiler is told to use it, in plain C everywhere else: so the logic above them is tested
 * on machines without tiles. Three tiles: INPUT [rows][bytes] int8, WEIGHTS [bytes / 4][16 outputs][4] uint8, SUMS [rows][16] int32.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1 chapter 18 and TDPBSUD. */
#ifndef CHIP_CPU_AMX_TILES_H
#define CHIP_CPU_AMX_TILES_H

#include <stdint.h>
#include <string.h>

#define TILE_MAX_ROWS 16

#ifdef __AMX_INT8__
#include <immintrin.h>

/* Shapes of the tiles for `rows` rows of input and `bytes` columns (a multiple of 4, at most 64). Of this thread, until tiles_release. */
static inline void tiles_shape(int rows, int bytes)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1, .row_bytes = {64, (uint16_t)bytes, 64}, .rows = {(uint8_t)rows, (uint8_t)rows, (uint8_t)(bytes / 4)}};
    __asm__ volatile("" : : "r"(&config) : "memory"); /* gcc 12 takes the stores above for dead */
    _tile_loadconfig(&config);
}
static inline void tiles_release(void)
{
    _tile_release();
}
static inline void tiles_clear_sums(void)
{
    _tile_zero(0);
}
static inline void tiles_load_input(const void *rows, int stride)
{
    _tile_loadd(1, rows, stride);
}
static inline void tiles_load_weights(const void *rows)
{
    _tile_loadd(2, rows, 64);
}
static inline void tiles_multiply(void)
{
    _tile_dpbsud(0, 1, 2);
}
static inline void tiles_store_sums(int32_t *sums)
{
    _tile_stored(0, sums, 64);
}

#else

static _Thread_local struct {
    int rows, bytes;
    int32_t sums[TILE_MAX_ROWS][16];
    int8_t input[TILE_MAX_ROWS][64];
    uint8_t weights[16][64];
} tiles;

static inline void tiles_shape(int rows, int bytes)
{
    memset(&tiles, 0, sizeof tiles);
    tiles.rows = rows;
    tiles.bytes = bytes;
}
static inline void tiles_release(void)
{
    tiles.rows = tiles.bytes = 0;
}
static inline void tiles_clear_sums(void)
{
    memset(tiles.sums, 0, sizeof tiles.sums);
}
static inline void tiles_load_input(const void *rows, int stride)
{
    for (int r = 0; r < tiles.rows; r++)
        memcpy(tiles.input[r], (const char *)rows + r * stride, (size_t)tiles.bytes);
}
static inline void tiles_load_weights(const void *rows)
{
    memcpy(tiles.weights, rows, (size_t)tiles.bytes / 4 * 64);
}
static inline void tiles_multiply(void)
{
    for (int r = 0; r < tiles.rows; r++) {
        for (int k = 0; k < tiles.bytes; k++) {
            for (int n = 0; n < 16; n++)
                tiles.sums[r][n] += tiles.input[r][k] * tiles.weights[k / 4][4 * n + k % 4];
        }
    }
}
static inline void tiles_store_sums(int32_t *sums)
{
    memcpy(sums, tiles.sums, (size_t)tiles.rows * sizeof tiles.sums[0]);
}
#endif

#endif
