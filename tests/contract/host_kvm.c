/* host_kvm.c: the contract's suite on KVM: acts are machine code. */
#include "contract.h"

#include "base/bytes.h"
#include "tiny.h"

#include <string.h>

enum { CODE_MAX = 1024 };

struct code {
    uint8_t bytes[CODE_MAX];
    size_t count;
};

static void put(struct code *code, const void *bytes, size_t count)
{
    assert_true(code->count + count <= CODE_MAX);
    memcpy(code->bytes + code->count, bytes, count);
    code->count += count;
}

static void put_byte(struct code *code, uint8_t byte)
{
    put(code, &byte, 1);
}

/* (opcode) with a 32-bit immediate: B8 + register is a move into it. */
static void put_move(struct code *code, uint8_t opcode, uint32_t value)
{
    uint8_t bytes[5] = {opcode};

    store_le32(bytes + 1, value);
    put(code, bytes, sizeof bytes);
}

static void put_move_rax(struct code *code, uint64_t value)
{
    uint8_t bytes[10] = {0x48, 0xb8};

    store_le64(bytes + 2, value);
    put(code, bytes, sizeof bytes);
}

/* An instruction with a form for bytes, (opcode), and one for words, which
 * follows it; prefixes choose their width. */
static void put_sized(struct code *code, uint8_t opcode, uint8_t size)
{
    if (size == 2)
        put_byte(code, 0x66);
    if (size == 8)
        put_byte(code, 0x48);
    put_byte(code, (uint8_t)(opcode + (size > 1)));
}

enum {
    MOV_EBX = 0xbb,
    MOV_EDX = 0xba,
    OUT_DX = 0xee,
    IN_DX = 0xec,
    MOV_TO_MEMORY = 0x88,
    MOV_FROM_MEMORY = 0x8a,
    MODRM_RAX_AT_RBX = 0x03,
    HLT = 0xf4
};

static void put_memory(struct code *code, uint8_t opcode, uint64_t at,
                       uint8_t size)
{
    put_move(code, MOV_EBX, (uint32_t)at);
    put_sized(code, opcode, size);
    put_byte(code, MODRM_RAX_AT_RBX);
}

static void put_act(struct code *code, const struct contract_act *act)
{
    static const uint8_t ud2[] = {0x0f, 0x0b};

    switch (act->kind) {
    case ACT_PIO_WRITE:
        put_move_rax(code, act->value);
        put_move(code, MOV_EDX, (uint32_t)act->at);
        put_sized(code, OUT_DX, act->size);
        return;
    case ACT_PIO_READ:
        put_move(code, MOV_EDX, (uint32_t)act->at);
        put_sized(code, IN_DX, act->size);
        return;
    case ACT_MMIO_WRITE:
        put_move_rax(code, act->value);
        put_memory(code, MOV_TO_MEMORY, act->at, act->size);
        return;
    case ACT_MMIO_READ:
        put_memory(code, MOV_FROM_MEMORY, act->at, act->size);
        return;
    case ACT_ECHO:
        put_memory(code, MOV_TO_MEMORY, CONTRACT_ECHO, act->size);
        return;
    case ACT_HALT:
        put_byte(code, HLT);
        return;
    case ACT_SHUTDOWN:
        /* The table of interrupts lies in zeroes: no gate is present, not
         * even that of the double fault. */
        put(code, ud2, sizeof ud2);
        return;
    }
}

static void act(struct contract *contract, const struct contract_act *acts,
                unsigned count)
{
    static const uint8_t spin[] = {0xeb, 0xfe};
    struct tiny tiny = {.vm = contract->vm, .mem = contract->mem};
    struct code code = {.count = 0};

    for (unsigned i = 0; i < count; i++)
        put_act(&code, &acts[i]);
    put(&code, spin, sizeof spin);
    tiny_load(&tiny, code.bytes, code.count);
    tiny_enter(contract->vcpu);
}

static void nothing(struct contract *contract)
{
    (void)contract;
}

const struct contract_host contract_host = {
    .hv = &hv_kvm, .begin = nothing, .end = nothing, .act = act};
