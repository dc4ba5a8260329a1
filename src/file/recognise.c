#include "file/recognise.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { RECOGNISE_BYTES = 512 };

struct beginning {
    const char *bytes;
    size_t length;
    int code;
    const char *message; /* what it is and what to do */
};

#define BEGINS(text) text, sizeof(text) - 1
#define GET_GGUF "sampan opens GGUF files, and folders with config.json and safetensors: look for either of this model"

static const struct beginning beginnings[] = {
    {BEGINS("version https://git-lfs"), SAMPAN_EFORMAT,
     "this is a Git LFS pointer, not the model itself; run 'git lfs pull' in its repository or download the file from its web page"},
    {BEGINS("PK\x03\x04"), SAMPAN_EUNSUPPORTED, "this is a zip archive, as PyTorch writes its .bin, .pt and .pth checkpoints; " GET_GGUF},
    {BEGINS("\x80\x02"), SAMPAN_EUNSUPPORTED, "this is a Python pickle, as old PyTorch checkpoints are; " GET_GGUF},
    {BEGINS("lmgg"), SAMPAN_EUNSUPPORTED, "this is a file of the old GGML format, which GGUF replaced; convert it again or find a .gguf of the model"},
    {BEGINS("fmgg"), SAMPAN_EUNSUPPORTED, "this is a file of the old GGMF format, which GGUF replaced; convert it again or find a .gguf of the model"},
    {BEGINS("tjgg"), SAMPAN_EUNSUPPORTED, "this is a file of the old GGJT format, which GGUF replaced; convert it again or find a .gguf of the model"},
    {BEGINS("FUGG"), SAMPAN_EFORMAT, "this looks like a GGUF file whose bytes were swapped; fetch it again"},
    {BEGINS("\x1f\x8b"), SAMPAN_EUNSUPPORTED, "this is a gzip file; unpack it first"},
    {BEGINS("\x28\xb5\x2f\xfd"), SAMPAN_EUNSUPPORTED, "this is a zstd file; unpack it first"},
    {BEGINS("\3757zXZ"), SAMPAN_EUNSUPPORTED, "this is an xz file; unpack it first"},
    {BEGINS("7z\xbc\xaf"), SAMPAN_EUNSUPPORTED, "this is a 7z archive; unpack it first"},
    {BEGINS("\x89HDF"), SAMPAN_EUNSUPPORTED, "this is an HDF5 file, as Keras writes them; " GET_GGUF},
    {BEGINS("Entry not found"), SAMPAN_EFORMAT, "this is a hub's error answer ('Entry not found') saved as a file; check the name and fetch it again"},
    {BEGINS("Invalid username or password"), SAMPAN_EFORMAT,
     "this is a hub's error answer ('Invalid username or password') saved as a file; log in and fetch it again"},
};

/* 8 bytes of header length, then JSON. */
static bool is_safetensors(const unsigned char *bytes, size_t length, uint64_t file_size)
{
    uint64_t header;
    if (length < 10 || bytes[8] != '{')
        return false;
    memcpy(&header, bytes, sizeof header);
    return header >= 2 && header <= file_size - 8;
}

static bool is_zeros(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i])
            return false;
    return true;
}

static int refuse_text(const char *text, struct error *err)
{
    while (isspace((unsigned char)*text))
        text++;
    if (strncasecmp(text, "<!doctype", 9) == 0 || strncasecmp(text, "<html", 5) == 0)
        return error_set(err, SAMPAN_EFORMAT, "this is a web page (HTML), probably an error or login page saved in place of the model; fetch the file again");
    if (*text == '{' || *text == '[')
        return error_set(err, SAMPAN_EFORMAT, "this is a JSON text, not a model (a configuration, or a hub's error answer); " GET_GGUF);
    return 0;
}

/* What the first bytes are known to be, apart from the formats that are read; 0: unknown. */
static int refuse_known(const unsigned char *bytes, size_t length, struct error *err)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (length >= beginnings[i].length && memcmp(bytes, beginnings[i].bytes, beginnings[i].length) == 0)
            return error_set(err, beginnings[i].code, "%s", beginnings[i].message);
    if (is_zeros(bytes, length))
        return error_set(err, SAMPAN_EFORMAT, "the file begins with %zu zero bytes: an incomplete download; fetch it again", length);
    return refuse_text((const char *)bytes, err);
}

/* The first bytes, NUL-terminated. */
static int read_beginning(const struct file *file, const char *expected, size_t least, unsigned char bytes[RECOGNISE_BYTES + 1], size_t *length,
                          struct error *err)
{
    *length = file->size < RECOGNISE_BYTES ? (size_t)file->size : RECOGNISE_BYTES;
    memset(bytes, 0, RECOGNISE_BYTES + 1);
    if (*length == 0)
        return error_set(err, SAMPAN_EFORMAT, "the file is empty, expected a %s; fetch it again", expected);
    int code = file_read(file, 0, bytes, *length, err);
    if (!code && *length < least)
        code = error_set(err, SAMPAN_EFORMAT, "the file has only %zu bytes, expected a %s; fetch it again", *length, expected);
    return code;
}

int recognise_safetensors(const struct file *file, struct error *err)
{
    unsigned char bytes[RECOGNISE_BYTES + 1];
    size_t length;
    int code = read_beginning(file, "safetensors file", 10, bytes, &length, err);
    if (code || is_safetensors(bytes, length, file->size))
        return code;
    if (memcmp(bytes, "GGUF", 4) == 0)
        return error_set(err, SAMPAN_EFORMAT, "this is a GGUF file, not a safetensors one; give its own path instead of the folder's");
    return bytes[8] == '{' ? 0 : refuse_known(bytes, length, err);
}

int recognise_gguf(const struct file *file, struct error *err)
{
    unsigned char bytes[RECOGNISE_BYTES + 1];
    size_t length;
    int code = read_beginning(file, "GGUF", 4, bytes, &length, err);
    if (code || memcmp(bytes, "GGUF", 4) == 0)
        return code;
    /* Before the table: the header length may look like any of its short rows. */
    if (is_safetensors(bytes, length, file->size))
        return error_set(err, SAMPAN_EUNSUPPORTED, "this is a safetensors file: give the path of the folder that holds it and its config.json");
    code = refuse_known(bytes, length, err);
    if (code)
        return code;
    return error_set(err, SAMPAN_EFORMAT, "the first bytes are %02x %02x %02x %02x, expected 'GGUF' (47 47 55 46): this is not a GGUF file", bytes[0], bytes[1],
                     bytes[2], bytes[3]);
}
