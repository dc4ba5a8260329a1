/* The rows of model/families.c: one per file in this folder. */
#ifndef MODEL_FAMILY_FAMILY_H
#define MODEL_FAMILY_FAMILY_H

#include "model/model.h"

extern const struct model_family llama_family;
extern const struct model_family qwen2_family;
extern const struct model_family qwen3_family;
extern const struct model_family smollm3_family;

#endif
