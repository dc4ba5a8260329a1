/* The GGUF writer of tests/file, linked into this folder's programs as well. */
#include "file/support_gguf_writer.c"
