/* The table of families, and the way from a checkpoint to its program. */
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "model/family/family.h"
#include "model/model.h"
#include "model/source.h"

const struct model_family *const model_families[] = {
    &llama_family, &qwen2_family, &qwen3_family, &smollm3_family, NULL,
};

static int refuse_architecture(const struct checkpoint *checkpoint, struct error *err)
{
    struct buffer names;
    buffer_init(&names, 512);
    for (size_t f = 0; model_families[f]; f++)
        for (size_t a = 0; model_families[f]->architectures[a]; a++)
            buffer_printf(&names, "%s%s", names.length ? ", " : "", model_families[f]->architectures[a]);
    int status = error_set(err, SAMPAN_EUNSUPPORTED, "the model in '%s' is of the family '%s', which this version does not know; it knows: %s",
                           checkpoint->path, checkpoint->architecture, names.data ? names.data : "");
    buffer_free(&names);
    return status;
}

int model_find_family(const struct checkpoint *checkpoint, const struct model_family **family, struct error *err)
{
    if (checkpoint->weights_problem)
        return error_set(err, SAMPAN_ENOTFOUND, "the model in '%s' has no weights: %s", checkpoint->path, checkpoint->weights_problem);
    for (size_t f = 0; model_families[f]; f++) {
        for (size_t a = 0; model_families[f]->architectures[a]; a++) {
            if (strcmp(model_families[f]->architectures[a], checkpoint->architecture) == 0) {
                *family = model_families[f];
                return 0;
            }
        }
    }
    return refuse_architecture(checkpoint, err);
}

/* A token id beyond the embedding would be refused in every step that has it; say so once, at load. */
static int check_tokenizer(const struct checkpoint *checkpoint, const struct program *program, struct error *err)
{
    if (checkpoint->has_tokenizer && checkpoint->tokenizer.n_tokens > program->n_vocabulary)
        return error_set(err, SAMPAN_EFORMAT, "the tokenizer has %d tokens, but the embedding only %d rows", checkpoint->tokenizer.n_tokens,
                         program->n_vocabulary);
    return 0;
}

static int write_and_check(struct model_source *source, const struct model_family *family, const struct model_options *options, struct arena *arena,
                           const struct program **program, struct error *err)
{
    const struct program *written;
    int32_t input;
    int status = family->write_program(family, source, options, arena, &written, err);
    if (!status)
        status = model_source_check_all_used(source, family->known_unused, err);
    if (!status && source->quantize && !source->n_quantized)
        status = error_set(err, SAMPAN_EINVAL,
                           "quantising while loading to %s was asked for, but the file has no matrix in f32, f16 or bf16 that could be; leave it out",
                           tensor_types[*source->quantize].name);
    if (!status)
        status = check_tokenizer(source->checkpoint, written, err);
    if (!status && program_count_inputs(written, &input))
        status =
            error_set(err, SAMPAN_EINTERNAL, "the family '%s' wrote a program in which nothing writes buffer '%s'", family->name, written->buffers[input].name);
    if (!status)
        *program = written;
    return status;
}

int model_write_program(const struct checkpoint *checkpoint, const struct model_options *options, struct arena *arena, const struct program **program,
                        struct error *err)
{
    const struct model_family *family;
    int status = model_find_family(checkpoint, &family, err);
    if (status)
        return status;
    struct model_source source = {.checkpoint = checkpoint,
                                  .used = mem_zalloc(checkpoint->n_tensors),
                                  .quantize = options ? options->quantize : NULL,
                                  .is_mapped = options && options->is_mapped};
    if (!source.used)
        return error_no_memory(err, "writing a program");
    status = write_and_check(&source, family, options, arena, program, err);
    mem_free(source.used);
    if (status)
        error_prefix(err, "model '%s'", checkpoint->path);
    return status;
}
