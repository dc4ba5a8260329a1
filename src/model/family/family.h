/* The rows of model/families.c: one per file in this folder. */
#ifndef MODEL_FAMILY_FAMILY_H
#define MODEL_FAMILY_FAMILY_H

#include "model/model.h"

extern const struct model_family llama_family;

#endif
