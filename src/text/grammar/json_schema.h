/* JSON and JSON Schema (2020-12) as grammars: every text that such a grammar accepts validates against the schema.
 *
 * Supported: true and false; type (also a list); enum, const; properties, required, additionalProperties, propertyNames (where no properties are declared),
 * minProperties and maxProperties (as far as they follow from those, or for maps); prefixItems, items, minItems, maxItems; minLength, maxLength, pattern (see
 * regex.h), format date, time, date-time, uuid, email, ipv4; minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf (whole numbers);
 * anyOf, oneOf whose alternatives provably exclude one another, allOf and keywords beside $ref (merged); $ref within the document, also recursive; $defs.
 * Annotations and keywords that begin with "x-" are skipped. Everything else is refused by name and place: what would be ignored silently could make
 * an answer invalid.
 *
 * What is written is a subset of what is valid, chosen so that models write it well: properties in the order of the schema, those not declared behind
 * them; one optional space or one line break with indentation between tokens; integers without a fraction; numbers of at most 16 digits
 * in front of and behind the point; within strings one spelling of each character where a schema constrains them. A schema without a type whose
 * keywords speak of one type allows only that type. */
#ifndef TEXT_GRAMMAR_JSON_SCHEMA_H
#define TEXT_GRAMMAR_JSON_SCHEMA_H

#include "text/grammar/build.h"

void build_json_object(struct grammar_builder *builder);                                    /* defines rule 0: any JSON object */
void build_json_schema(struct grammar_builder *builder, const char *source, size_t length); /* defines rule 0 */
void build_choices(struct grammar_builder *builder, const char *source, size_t length);     /* ditto: a JSON array of strings, written without quotes */

#endif
