/* aarch64.S - the context switch for AAPCS64 (Linux, BSD).
 *
 * Saves the registers that the ABI calls callee-saved, and no more; of v8 to
 * v15, it saves the low halves. x18 belongs to the platform. A context is the
 * stack pointer after the stores:
 *
 *   sp ->  +0   x19 x20   entry and its argument in a new context
 *          +16  x21 x22
 *          +32  x23 x24
 *          +48  x25 x26
 *          +64  x27 x28
 *          +80  x29 x30   frame pointer, return address: zero and
 *          +96  d8  d9    green__context_start in a new context
 *          +112 d10 d11
 *          +128 d12 d13
 *          +144 d14 d15
 *          +160           the caller's stack; 16 zero bytes in a new context
 *
 * The switch ends with ret: under BTI a br may only go to a landing pad, and a
 * resumed context continues behind a call, where there is none.
 *
 * In the CFI, v8 to v15 go by their DWARF numbers, 72 to 79.
 *
 * SPDX-License-Identifier: MIT
 */

        .text

/* int green__context_switch(void **from, void *to, int value) */
        .globl  green__context_switch
        .hidden green__context_switch
        .type   green__context_switch, %function
        .p2align 4
green__context_switch:
        .cfi_startproc
        hint    #34             /* bti c */
        stp     x19, x20, [sp, #-160]!
        .cfi_def_cfa_offset 160
        .cfi_rel_offset x19, 0
        .cfi_rel_offset x20, 8
        stp     x21, x22, [sp, #16]
        .cfi_rel_offset x21, 16
        .cfi_rel_offset x22, 24
        stp     x23, x24, [sp, #32]
        .cfi_rel_offset x23, 32
        .cfi_rel_offset x24, 40
        stp     x25, x26, [sp, #48]
        .cfi_rel_offset x25, 48
        .cfi_rel_offset x26, 56
        stp     x27, x28, [sp, #64]
        .cfi_rel_offset x27, 64
        .cfi_rel_offset x28, 72
        stp     x29, x30, [sp, #80]
        .cfi_rel_offset x29, 80
        .cfi_rel_offset x30, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset 72, 96
        .cfi_rel_offset 73, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset 74, 112
        .cfi_rel_offset 75, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset 76, 128
        .cfi_rel_offset 77, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset 78, 144
        .cfi_rel_offset 79, 152
        mov     x9, sp
        str     x9, [x0]
        mov     w0, w2
        mov     sp, x1          /* same layout there: the CFI stays true */
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x29, x30, [sp, #80]
        ldp     x27, x28, [sp, #64]
        ldp     x25, x26, [sp, #48]
        ldp     x23, x24, [sp, #32]
        ldp     x21, x22, [sp, #16]
        ldp     x19, x20, [sp], #160
        .cfi_def_cfa_offset 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore 72
        .cfi_restore 73
        .cfi_restore 74
        .cfi_restore 75
        .cfi_restore 76
        .cfi_restore 77
        .cfi_restore 78
        .cfi_restore 79
        ret
        .cfi_endproc
        .size   green__context_switch, . - green__context_switch

/* void *green__context_make(char *low, char *high, void (*entry)(void *arg),
 *                           void *arg) */
        .globl  green__context_make
        .hidden green__context_make
        .type   green__context_make, %function
        .p2align 4
green__context_make:
        .cfi_startproc
        hint    #34             /* bti c */
        and     x1, x1, #-16
        sub     x0, x1, #176
        adr     x9, green__context_start
        stp     x2, x3, [x0]    /* x19: entry, x20: arg */
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, x9, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     xzr, xzr, [x0, #160]
        ret
        .cfi_endproc
        .size   green__context_make, . - green__context_make

/* Where the first switch to a context arrives. The undefined registers tell
 * debuggers and unwinders that this is the outermost frame. */
        .hidden green__context_start
        .type   green__context_start, %function
        .p2align 4
green__context_start:
        .cfi_startproc
        .cfi_undefined x29
        .cfi_undefined x30
        hint    #34             /* bti c */
        mov     x0, x20
        blr     x19
        brk     #0x1            /* entry must never return */
        .cfi_endproc
        .size   green__context_start, . - green__context_start

        .section .rodata
        .globl  green__context_name
        .hidden green__context_name
        .type   green__context_name, %object
green__context_name:
        .string "aarch64"
        .size   green__context_name, . - green__context_name

/* Indirect branches land on bti c here. The note does not claim guarded control
 * stacks: a switch would need one for each context. */
        .section .note.gnu.property, "a"
        .p2align 3
        .word   4               /* length of the name */
        .word   16              /* length of the description */
        .word   5               /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .word   0xc0000000      /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
        .word   4
        .word   1               /* BTI, without PAC (2) and GCS (4) */
        .word   0

        .section .note.GNU-stack, "", %progbits
