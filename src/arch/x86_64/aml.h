/* aml.h: ACPI machine language, written piece by piece into a buf.
 *
 * How it works
 *   A term that holds others is opened and closed: aml_*_open() returns where
 *   its length belongs, aml_close() fills it in. Lengths always take the form
 *   of three bytes (ACPI 6.4, 20.2.4), so that nothing has to move. Failure
 *   shows in the buf. Names are at most four characters per segment and are
 *   padded with '_'; a leading '\' is the root.
 */
#ifndef SM_ARCH_X86_64_AML_H
#define SM_ARCH_X86_64_AML_H

#include "base/buf.h"

size_t aml_scope_open(struct buf *to, const char *name);
size_t aml_device_open(struct buf *to, const char *name);
/* (arguments) 0 to 7; serialized: one caller at a time. */
size_t aml_method_open(struct buf *to, const char *name, unsigned arguments,
                       bool serialized);
size_t aml_package_open(struct buf *to, uint8_t elements);
/* A resource template, the value of a _CRS. */
size_t aml_resources_open(struct buf *to);

void aml_close(struct buf *to, size_t open);
void aml_resources_close(struct buf *to, size_t open);

/* A name; its value is what is written next. */
void aml_name(struct buf *to, const char *name);
void aml_integer(struct buf *to, uint32_t value);
void aml_string(struct buf *to, const char *string);
/* A compressed EISA id, as "PNP0501". */
void aml_eisa_id(struct buf *to, const char *id);
void aml_notify(struct buf *to, const char *object, uint8_t value);

/* Entries of a resource template. */
void aml_memory(struct buf *to, uint32_t at, uint32_t bytes);
void aml_ports(struct buf *to, uint16_t port, uint8_t count);
/* Edge-triggered, active high, not shared. */
void aml_interrupt(struct buf *to, uint32_t gsi);

#endif
