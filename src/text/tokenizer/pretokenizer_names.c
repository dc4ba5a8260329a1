#include "text/tokenizer/pretokenizer_names.h"

#include <stddef.h>
#include <string.h>

#include "base/buffer.h"

/* Patterns as the models' tokenizer.json state them. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CL100K_END "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CL100K(digits) CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits CL100K_END
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K(upper, lower, end, rest)                                                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" end "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower "*" end "|" rest "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SLASHED_SYMBOLS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define NOT_HAN "(?!\\p{sc:Han})"
#define DEEPSEEK_CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define DEEPSEEK_OLD_CJK "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define DEEPSEEK_WORDS                                                                                                                                         \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "                                                      \
    "?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* What is cased, as of some Unicode. */
#define DEEPSEEK_LETTERS                                                                                                                                       \
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}"             \
    "\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}"                   \
    "\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}"             \
    "-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}"                    \
    "\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-"                     \
    "\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}"             \
    "-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}"             \
    "\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-"                     \
    "\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-"                    \
    "\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"                  \
    "\\x{1E900}-\\x{1E943}]+"
#define DEEPSEEK_SYMBOLS "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"

#define STAGE(...)                                                                                                                                             \
    {                                                                                                                                                          \
        __VA_ARGS__                                                                                                                                            \
    }
#define PATTERN(text) STAGE(.kind = STAGE_SPLIT, .pattern = {text, sizeof(text) - 1})
#define BYTE_LEVEL STAGE(.kind = STAGE_BYTE_LEVEL, .use_pattern = true)
#define EACH_DIGIT STAGE(.kind = STAGE_DIGITS, .behavior = SPLIT_ISOLATED)
#define STAGES(...)                                                                                                                                            \
    sizeof((const struct tokenizer_stage[]){__VA_ARGS__}) / sizeof(struct tokenizer_stage), (const struct tokenizer_stage[])                                   \
    {                                                                                                                                                          \
        __VA_ARGS__                                                                                                                                            \
    }

/* Names: those that the converters of llama.cpp write into tokenizer.ggml.pre. Left out: superbpe, tiny_aya, afmoe, whose look-ahead over runs of
 * digits is quadratic, and gemma4, sarvam-moe, whitespace, which are not byte-level. */
static const struct pretokenizer_row rows[] = {
    {"default gpt-2 phi-2 olmo jais mpt trillion granite-docling jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 "
     "mellum modern-bert exaone4",
     false, STAGES(BYTE_LEVEL)},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", false, STAGES(EACH_DIGIT, BYTE_LEVEL)},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", true, STAGES(PATTERN(CL100K("\\p{N}{1,3}")))},
    {"dbrx smaug-bpe chatglm-bpe glm4", false, STAGES(PATTERN(CL100K("\\p{N}{1,3}")))},
    {"qwen2 deepseek-r1-qwen stablelm2 kormo f2llmv2 hunyuan solar-open grok-2 megrez", false, STAGES(PATTERN(CL100K("\\p{N}")))},
    {"qwen35", false,
     STAGES(PATTERN(CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"))},
    {"minicpm5", false, STAGES(PATTERN("\\p{N}{1,3}"), PATTERN(CL100K("\\p{N}+")))},
    {"seed-coder", false, STAGES(PATTERN(CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"))},
    {"bailingmoe bailingmoe2 llada-moe", false,
     STAGES(PATTERN("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"))},
    {"tekken", true, STAGES(PATTERN(O200K(UPPER, LOWER, "", "\\p{N}" SLASHED_SYMBOLS)))},
    {"gpt-4o llama4 kanana2 minimax-m2", false, STAGES(PATTERN(O200K(UPPER, LOWER, CONTRACTIONS "?", "\\p{N}{1,3}" SLASHED_SYMBOLS)))},
    {"kimi-k2", false,
     STAGES(PATTERN("\\p{sc:Han}+|" O200K("(?:" NOT_HAN UPPER ")", "(?:" NOT_HAN LOWER ")", CONTRACTIONS "?", "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*")))},
    {"deepseek-v3 hunyuan-dense joyai-llm", false, STAGES(PATTERN("\\p{N}{1,3}"), PATTERN(DEEPSEEK_CJK), PATTERN(DEEPSEEK_WORDS))},
    {"deepseek-llm", false,
     STAGES(PATTERN("[\\r\\n]"), PATTERN(DEEPSEEK_LETTERS), PATTERN(DEEPSEEK_SYMBOLS), PATTERN("\\s+$"), PATTERN(DEEPSEEK_OLD_CJK), EACH_DIGIT)},
    {"deepseek-coder", false, STAGES(PATTERN("[\\r\\n]"), PATTERN("\\s?\\p{L}+"), PATTERN("\\s?\\p{P}+"), PATTERN(DEEPSEEK_OLD_CJK), EACH_DIGIT)},
    {"falcon", false,
     STAGES(STAGE(.kind = STAGE_PUNCTUATION, .behavior = SPLIT_CONTIGUOUS), BYTE_LEVEL, STAGE(.kind = STAGE_DIGITS, .behavior = SPLIT_CONTIGUOUS),
            PATTERN("[0-9][0-9][0-9]"))},
    {"poro-chat bloom gpt3-finnish", false, STAGES(PATTERN(BLOOM))},
    {"viking", false, STAGES(PATTERN(BLOOM), EACH_DIGIT)},
};

const struct pretokenizer_row *pretokenizer_find_row(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (const char *at = rows[i].names; *at;) {
            size_t n = strcspn(at, " ");
            if (n == length && memcmp(at, name, n) == 0)
                return &rows[i];
            at += n + strspn(at + n, " ");
        }
    }
    return NULL;
}

int pretokenizer_refuse_name(const char *name, struct error *err)
{
    struct buffer known;
    buffer_init(&known, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buffer_printf(&known, "%s%s", i ? " " : "", rows[i].names);
    if (known.failed) {
        buffer_free(&known);
        return error_no_memory(err, "naming the known pre-tokenizers");
    }
    error_set(err, SAMPAN_EUNSUPPORTED,
              "the tokenizer names the pre-tokenizer '%.100s', which this version does not know (known: %s); use a model with one of these, or a newer version",
              name, known.data);
    buffer_free(&known);
    return SAMPAN_EUNSUPPORTED;
}
