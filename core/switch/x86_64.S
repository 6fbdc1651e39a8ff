/* x86_64.S - the context switch for the System V ABI (Linux, BSD).
 *
 * Saves the registers that the ABI calls callee-saved, and no more; a context
 * is the stack pointer after the pushes:
 *
 *   low addresses                                          high addresses
 *         +-----+-----+-----+-----+-----+-----+----------------+------
 *   sp -> | r15 | r14 | r13 | r12 | rbx | rbp | return address | caller
 *         +-----+-----+-----+-----+-----+-----+----------------+------
 *           +0    +8    +16   +24   +32   +40        +48
 *
 * A new context looks the same: r12 holds the entry function, r13 its argument,
 * rbp is zero, the return address is green__context_start, and 16 zero bytes
 * end the stack.
 *
 * The switch ends with ret, not with pop and jmp: the processor predicts
 * returns by counting calls, and one jmp makes all the callers' returns miss
 * (12 against 22 ns, three frames deep).
 *
 * SPDX-License-Identifier: MIT
 */

        .text

/* int green__context_switch(void **from, void *to, int value) */
        .globl  green__context_switch
        .hidden green__context_switch
        .type   green__context_switch, @function
        .p2align 4
green__context_switch:
        .cfi_startproc
        endbr64
        movl    %edx, %eax
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp      /* same layout there: the CFI stays true */
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .size   green__context_switch, . - green__context_switch

/* void *green__context_make(char *low, char *high, void (*entry)(void *arg),
 *                           void *arg)
 * rsp is a multiple of 16 when the start stub calls entry, as the ABI asks:
 * the frame of 56 bytes ends where the 16 zero bytes begin. */
        .globl  green__context_make
        .hidden green__context_make
        .type   green__context_make, @function
        .p2align 4
green__context_make:
        .cfi_startproc
        endbr64
        andq    $-16, %rsi
        leaq    -72(%rsi), %rax
        leaq    green__context_start(%rip), %r8
        xorl    %r9d, %r9d
        movq    %r9, 0(%rax)    /* r15 */
        movq    %r9, 8(%rax)    /* r14 */
        movq    %rcx, 16(%rax)  /* r13: arg */
        movq    %rdx, 24(%rax)  /* r12: entry */
        movq    %r9, 32(%rax)   /* rbx */
        movq    %r9, 40(%rax)   /* rbp: no caller's frame */
        movq    %r8, 48(%rax)   /* return address */
        movq    %r9, 56(%rax)
        movq    %r9, 64(%rax)
        ret
        .cfi_endproc
        .size   green__context_make, . - green__context_make

/* Where the first switch to a context arrives. The undefined return address
 * tells debuggers and unwinders that this is the outermost frame. */
        .hidden green__context_start
        .type   green__context_start, @function
        .p2align 4
green__context_start:
        .cfi_startproc
        .cfi_undefined rip
        endbr64
        movq    %r13, %rdi
        call    *%r12
        ud2                     /* entry must never return */
        .cfi_endproc
        .size   green__context_start, . - green__context_start

        .section .rodata
        .globl  green__context_name
        .hidden green__context_name
        .type   green__context_name, @object
green__context_name:
        .string "x86_64"
        .size   green__context_name, . - green__context_name

/* Indirect branches land on endbr64 here (IBT). The note does not claim shadow
 * stacks: a switch would need one for each context. */
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4               /* length of the name */
        .long   16              /* length of the description */
        .long   5               /* NT_GNU_PROPERTY_TYPE_0 */
        .string "GNU"
        .long   0xc0000002      /* GNU_PROPERTY_X86_FEATURE_1_AND */
        .long   4
        .long   1               /* IBT, without SHSTK (2) */
        .long   0

        .section .note.GNU-stack, "", @progbits
