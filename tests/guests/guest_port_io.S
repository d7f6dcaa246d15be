/* guest_port_io.S: port reads and writes of each size, and strings. */
#include "guest.h"

GUEST guest_port_io
    mov $0x44332211, %eax
    out %al, $0x10
    out %ax, $0x11
    out %eax, $0x12
    xor %eax, %eax
    in $0x20, %al
    REPORT
    xor %eax, %eax
    in $0x21, %ax
    REPORT
    in $0x22, %eax
    REPORT
    /* The first four bytes of this code go out, four come in. */
    mov $GUEST_CODE, %esi
    mov $0x30, %edx
    mov $4, %ecx
    cld
    rep outsb
    mov $GUEST_DATA, %edi
    mov $0x31, %edx
    mov $4, %ecx
    rep insb
    mov GUEST_DATA, %eax
    REPORT
    DONE
GUEST_END guest_port_io
