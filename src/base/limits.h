/* Every limit on hostile input and its reason. A limit is far above what published models need and far below what would hurt a small machine. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

/* Files */
#define LIMIT_TENSORS 1000000             /* largest published MoE checkpoints have some 100,000 */
#define LIMIT_TENSOR_DIMENSIONS 4         /* GGUF allows 4; a logical weight has at most 3 */
#define LIMIT_TENSOR_NAME 1024            /* bytes; GGUF writers keep to 64 */
#define LIMIT_METADATA_KEYS 100000        /* real files have below 200 */
#define LIMIT_METADATA_KEY 65535          /* bytes; the GGUF specification's own limit */
#define LIMIT_METADATA_STRING (64u << 20) /* bytes; chat templates reach some 100 kB */
#define LIMIT_METADATA_ARRAY (16u << 20)  /* elements; vocabularies reach some 300,000 */
#define LIMIT_METADATA_DEPTH 4            /* arrays in arrays */
#define LIMIT_METADATA_MEMORY (1u << 30)  /* bytes held for all metadata of one file */

#define LIMIT_CONFIG_FILE (4u << 20)         /* bytes of config.json or generation_config.json; published: below 100 kB */
#define LIMIT_CONFIG_DEPTH 8                 /* objects and arrays in one another; published: 5 */
#define LIMIT_SAFETENSORS_HEADER (32u << 20) /* bytes; 100,000 tensors in one file need 12 MB */
#define LIMIT_SAFETENSORS_MEMBER (4u << 20) /* bytes of one entry of it; some training tools write a megabyte of comments */
#define LIMIT_SHARD_INDEX (64u << 20)        /* bytes of model.safetensors.index.json; the largest published has some 10 MB */
#define LIMIT_SHARDS 512                     /* files of one model; published: below 200 */

#define LIMIT_JSON_DEPTH 512 /* arrays and objects in one another, of any JSON text */

/* Models */
#define LIMIT_LAYERS 1024     /* deepest published: below 200 */
#define LIMIT_WIDTH (1 << 20) /* hidden, feed-forward and similar sizes; published: below 100,000 */
#define LIMIT_HEADS 4096
#define LIMIT_HEAD_WIDTH 1024
#define LIMIT_VOCABULARY (4 << 20) /* tokens; published: some 300,000 */
#define LIMIT_CONTEXT (64 << 20)   /* tokens; positions stay exact in int32 */
#define LIMIT_SPLIT_SEGMENTS 64    /* S of the split-stable sums */

/* Text */
#define LIMIT_TEXT (64u << 20)             /* bytes tokenized in one call */
#define LIMIT_TOKEN_BYTES 65535            /* bytes of one vocabulary entry */
#define LIMIT_PIECE_BYTES 4096             /* the same where it multiplies the time (Unigram, WordPiece); published: below 200 */
#define LIMIT_TOKENIZER_JSON (64u << 20)   /* bytes; published: below 40 MB */
#define LIMIT_CONFIGURATION (16u << 20)    /* bytes of a tokenizer_config.json and the like; published: below 1 MB */
#define LIMIT_TEMPLATE_SOURCE (1u << 20)   /* bytes; published: below 100 kB */
#define LIMIT_TEMPLATE_NODES 200000        /* parsed nodes */
#define LIMIT_TEMPLATE_DEPTH 200           /* nesting of blocks, expressions, macro calls */
#define LIMIT_TEMPLATE_STEPS 20000000      /* evaluation steps of one rendering: bounds loops */
#define LIMIT_TEMPLATE_OUTPUT (64u << 20)  /* bytes rendered */
#define LIMIT_TEMPLATE_MEMORY (512u << 20) /* bytes of values made while rendering */

/* Grammars of constrained output: what a request may cost while it compiles (milliseconds) and while it is followed */
#define LIMIT_GRAMMAR_SOURCE (1u << 20) /* bytes; published schemas: below 100 kB */
#define LIMIT_GRAMMAR_NODES 400000      /* a large tool schema needs some 10,000 */
#define LIMIT_GRAMMAR_EDGES 1000000
#define LIMIT_GRAMMAR_RULES 100000
#define LIMIT_GRAMMAR_DEPTH 64              /* nesting of groups in an expression, of schemas in one another */
#define LIMIT_SCHEMA_NESTING 256            /* schemas in one another, references followed */
#define LIMIT_SCHEMA_WORK 4000000           /* keywords merged, names and values compared while a schema is compiled */
#define LIMIT_GRAMMAR_STACK 65536           /* calls of rules in one another: arrays in arrays of an answer */
#define LIMIT_AUTOMATON_SET 4096            /* readings of one text at once */
#define LIMIT_AUTOMATON_MEMORY (128u << 20) /* bytes of states and stacks of one grammar */
#define LIMIT_AUTOMATON_MASKS (64u << 20)   /* bytes of remembered masks of one grammar; made again when dropped */

/* Engine */
#define LIMIT_SEQUENCES 4096 /* running at once */
#define LIMIT_QUEUED_REQUESTS 65536
#define LIMIT_STOP_STRINGS 64       /* per request */
#define LIMIT_STOP_STRING 4096      /* bytes */
#define LIMIT_STOP_TOKENS 1024      /* per request */
#define LIMIT_LOGIT_BIASES 16384    /* per request; each is one addition per token */
#define LIMIT_LOGIT_BIAS 1000       /* nats, either way; APIs allow 100 */
#define LIMIT_BANNED_SEQUENCES 1024 /* per request */
#define LIMIT_BANNED_SEQUENCE 64    /* tokens of one */
#define LIMIT_LOGPROBS 1024         /* alternatives reported per token; parity tools compare some hundred */

#endif
