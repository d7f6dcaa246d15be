/* vcpu_record.c: fuzzes the reader of saved vcpus' records. */
#include "hypervisor/state.h"

#include <stdlib.h>

enum { MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* The first byte says which groups are asked for, in turn. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct hv_reg regs[MAX];
    struct wire_reader from;
    const uint8_t *blob;
    size_t blob_bytes;
    unsigned found;

    if (!count)
        return 0;
    wire_read(&from, bytes + 1, count - 1);
    if (state_get_header(&from, NULL))
        wire_read(&from, bytes + 1, count - 1);
    for (unsigned i = 0; i < STATE_X86_GROUPS; i++) {
        if (bytes[0] >> i % 8 & 1) {
            if (state_get_blob(&from, HV_X86_FPU, &blob, &blob_bytes, NULL))
                return 0;
            if (blob < bytes || blob + blob_bytes > bytes + count)
                abort();
        } else {
            if (state_get_list(&from, HV_X86_MSRS, regs, MAX, &found, NULL))
                return 0;
            for (unsigned n = 1; n < found; n++)
                if (regs[n].number <= regs[n - 1].number)
                    abort();
        }
    }
    return 0;
}
