/* What is this file? People hand over the wrong one: an error page saved under the model's name, a Git LFS pointer, another format. The first bytes tell. */
#ifndef FILE_RECOGNISE_H
#define FILE_RECOGNISE_H

#include "base/file.h"

/* 0 when the file begins like a GGUF. Otherwise SAMPAN_EFORMAT or SAMPAN_EUNSUPPORTED and a message that names what the file seems to be and what
 * to do instead. */
int recognise_gguf(const struct file *file, struct error *err);

/* The same for a safetensors file; 0 also where nothing is known against it: its parser says the rest. */
int recognise_safetensors(const struct file *file, struct error *err);

#endif
