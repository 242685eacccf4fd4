//go:build !purego

#include "textflag.h"

// The tile kernels of the matrix product for NEON: x16 keeps tiles of up to 6 x 16 in V0-V23, four registers to a row;
// x4 and x1 compute the columns that are left over, four and one at a time. See the struct panels for the operands.
//
// R0 p, R1-R6 the rows of A, R7 B, R8 k, R9 aStep, R10 bStep, R11 walks down C or the start values, R12 by R12 bytes,
// R13 blocks, R14 panels, R15 R19 R20 the panel's B, C and start, R21 R22 R23 the block's A, C and start, R24 whether
// start values are spread, R25 whether ReLU, R26 rows. V24-V27 hold a row of B, V28 an element of A, V29 zero, V30 a comparison.

// ENTER loads what holds for the whole call.
#define ENTER \
	MOVD p+0(FP), R0 \
	MOVD 0(R0), R21 \
	MOVD 16(R0), R9 \
	MOVD 32(R0), R10 \
	MOVD 48(R0), R22 \
	MOVD 64(R0), R23 \
	MOVD 96(R0), R26 \
	MOVD 104(R0), R13 \
	MOVD 128(R0), R25 \
	MOVD 136(R0), R24 \
	VEOR V29.B16, V29.B16, V29.B16

// BLOCK begins a block of rows at its first panel.
#define BLOCK \
	MOVD 24(R0), R15 \
	MOVD R22, R19 \
	MOVD R23, R20 \
	MOVD 112(R0), R14

// PANEL sets the pointers for a tile. Pointers to rows that the tile does not have are not followed.
#define PANEL \
	MOVD 8(R0), R12 \
	MOVD R21, R1 \
	ADD  R12, R1, R2 \
	ADD  R12, R2, R3 \
	ADD  R12, R3, R4 \
	ADD  R12, R4, R5 \
	ADD  R12, R5, R6 \
	MOVD R15, R7 \
	MOVD 88(R0), R8 \
	MOVD R20, R11 \
	MOVD 72(R0), R12

// WALK_C turns to the tile's place in C.
#define WALK_C \
	MOVD R19, R11 \
	MOVD 56(R0), R12

// NEXT_PANEL moves by a panel, whose width in bytes is given, and sets the flags for panels left.
#define NEXT_PANEL(bytes) \
	MOVD 40(R0), R12 \
	ADD  R12, R15 \
	ADD  bytes, R19 \
	MOVD 80(R0), R12 \
	ADD  R12, R20 \
	SUBS $1, R14

// NEXT_BLOCK moves down by the rows of a block and sets the flags for blocks left.
#define NEXT_BLOCK \
	MOVD 8(R0), R12 \
	MADD R12, R21, R26, R21 \
	MOVD 56(R0), R12 \
	MADD R12, R22, R26, R22 \
	MOVD 72(R0), R12 \
	MADD R12, R23, R26, R23 \
	SUBS $1, R13

// Sixteen columns.

#define LOAD16(c0, c1, c2, c3) \
	VLD1 (R11), [c0, c1, c2, c3] \
	ADD  R12, R11

#define STORE16(c0, c1, c2, c3) \
	VST1 [c0, c1, c2, c3], (R11) \
	ADD  R12, R11

#define ROW16(a, c0, c1, c2, c3) \
	VLD1R.P (a)(R9), [V28.S4] \
	VFMLA   V24.S4, V28.S4, c0 \
	VFMLA   V25.S4, V28.S4, c1 \
	VFMLA   V26.S4, V28.S4, c2 \
	VFMLA   V27.S4, V28.S4, c3

// SPREAD16 loads the start value of a row into all its columns.
#define SPREAD16(c0, c1, c2, c3) \
	VLD1R (R11), [c0] \
	VLD1R (R11), [c1] \
	VLD1R (R11), [c2] \
	VLD1R (R11), [c3] \
	ADD   R12, R11

#define LOAD16x1 LOAD16(V0.S4, V1.S4, V2.S4, V3.S4)
#define LOAD16x2 LOAD16x1; LOAD16(V4.S4, V5.S4, V6.S4, V7.S4)
#define LOAD16x3 LOAD16x2; LOAD16(V8.S4, V9.S4, V10.S4, V11.S4)
#define LOAD16x4 LOAD16x3; LOAD16(V12.S4, V13.S4, V14.S4, V15.S4)
#define LOAD16x5 LOAD16x4; LOAD16(V16.S4, V17.S4, V18.S4, V19.S4)
#define LOAD16x6 LOAD16x5; LOAD16(V20.S4, V21.S4, V22.S4, V23.S4)

#define SPREAD16x1 SPREAD16(V0.S4, V1.S4, V2.S4, V3.S4)
#define SPREAD16x2 SPREAD16x1; SPREAD16(V4.S4, V5.S4, V6.S4, V7.S4)
#define SPREAD16x3 SPREAD16x2; SPREAD16(V8.S4, V9.S4, V10.S4, V11.S4)
#define SPREAD16x4 SPREAD16x3; SPREAD16(V12.S4, V13.S4, V14.S4, V15.S4)
#define SPREAD16x5 SPREAD16x4; SPREAD16(V16.S4, V17.S4, V18.S4, V19.S4)
#define SPREAD16x6 SPREAD16x5; SPREAD16(V20.S4, V21.S4, V22.S4, V23.S4)

#define STORE16x1 STORE16(V0.S4, V1.S4, V2.S4, V3.S4)
#define STORE16x2 STORE16x1; STORE16(V4.S4, V5.S4, V6.S4, V7.S4)
#define STORE16x3 STORE16x2; STORE16(V8.S4, V9.S4, V10.S4, V11.S4)
#define STORE16x4 STORE16x3; STORE16(V12.S4, V13.S4, V14.S4, V15.S4)
#define STORE16x5 STORE16x4; STORE16(V16.S4, V17.S4, V18.S4, V19.S4)
#define STORE16x6 STORE16x5; STORE16(V20.S4, V21.S4, V22.S4, V23.S4)

#define STEP16x1 VLD1.P (R7)(R10), [V24.S4, V25.S4, V26.S4, V27.S4]; ROW16(R1, V0.S4, V1.S4, V2.S4, V3.S4)
#define STEP16x2 STEP16x1; ROW16(R2, V4.S4, V5.S4, V6.S4, V7.S4)
#define STEP16x3 STEP16x2; ROW16(R3, V8.S4, V9.S4, V10.S4, V11.S4)
#define STEP16x4 STEP16x3; ROW16(R4, V12.S4, V13.S4, V14.S4, V15.S4)
#define STEP16x5 STEP16x4; ROW16(R5, V16.S4, V17.S4, V18.S4, V19.S4)
#define STEP16x6 STEP16x5; ROW16(R6, V20.S4, V21.S4, V22.S4, V23.S4)

// NEGATIVE sets V30 to where register number n is less than 0: FCMLT V30.4S, Vn.4S, #0. VBIT then inserts zeros there.
#define NEGATIVE(n) WORD $(0x4ea0e81e | n<<5)
#define RELU(n, v) NEGATIVE(n); VBIT V30.B16, V29.B16, v

// func gemmNEONx16(p *panels)
TEXT ·gemmNEONx16(SB), NOSPLIT, $0-8
	ENTER
block:
	BLOCK
panel:
	PANEL
	CMP  $1, R26
	BEQ  rows1
	CMP  $2, R26
	BEQ  rows2
	CMP  $3, R26
	BEQ  rows3
	CMP  $4, R26
	BEQ  rows4
	CMP  $5, R26
	BEQ  rows5
	CBNZ R24, spread6
	LOAD16x6
step6:
	STEP16x6
	SUBS $1, R8
	BNE  step6
	CBZ  R25, store6
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
	RELU(6, V6.B16)
	RELU(7, V7.B16)
	RELU(8, V8.B16)
	RELU(9, V9.B16)
	RELU(10, V10.B16)
	RELU(11, V11.B16)
	RELU(12, V12.B16)
	RELU(13, V13.B16)
	RELU(14, V14.B16)
	RELU(15, V15.B16)
	RELU(16, V16.B16)
	RELU(17, V17.B16)
	RELU(18, V18.B16)
	RELU(19, V19.B16)
	RELU(20, V20.B16)
	RELU(21, V21.B16)
	RELU(22, V22.B16)
	RELU(23, V23.B16)
store6:
	WALK_C
	STORE16x6
	B    next
rows5:
	CBNZ R24, spread5
	LOAD16x5
step5:
	STEP16x5
	SUBS $1, R8
	BNE  step5
	CBZ  R25, store5
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
	RELU(6, V6.B16)
	RELU(7, V7.B16)
	RELU(8, V8.B16)
	RELU(9, V9.B16)
	RELU(10, V10.B16)
	RELU(11, V11.B16)
	RELU(12, V12.B16)
	RELU(13, V13.B16)
	RELU(14, V14.B16)
	RELU(15, V15.B16)
	RELU(16, V16.B16)
	RELU(17, V17.B16)
	RELU(18, V18.B16)
	RELU(19, V19.B16)
store5:
	WALK_C
	STORE16x5
	B    next
rows4:
	CBNZ R24, spread4
	LOAD16x4
step4:
	STEP16x4
	SUBS $1, R8
	BNE  step4
	CBZ  R25, store4
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
	RELU(6, V6.B16)
	RELU(7, V7.B16)
	RELU(8, V8.B16)
	RELU(9, V9.B16)
	RELU(10, V10.B16)
	RELU(11, V11.B16)
	RELU(12, V12.B16)
	RELU(13, V13.B16)
	RELU(14, V14.B16)
	RELU(15, V15.B16)
store4:
	WALK_C
	STORE16x4
	B    next
rows3:
	CBNZ R24, spread3
	LOAD16x3
step3:
	STEP16x3
	SUBS $1, R8
	BNE  step3
	CBZ  R25, store3
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
	RELU(6, V6.B16)
	RELU(7, V7.B16)
	RELU(8, V8.B16)
	RELU(9, V9.B16)
	RELU(10, V10.B16)
	RELU(11, V11.B16)
store3:
	WALK_C
	STORE16x3
	B    next
rows2:
	CBNZ R24, spread2
	LOAD16x2
step2:
	STEP16x2
	SUBS $1, R8
	BNE  step2
	CBZ  R25, store2
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
	RELU(6, V6.B16)
	RELU(7, V7.B16)
store2:
	WALK_C
	STORE16x2
	B    next
rows1:
	CBNZ R24, spread1
	LOAD16x1
step1:
	STEP16x1
	SUBS $1, R8
	BNE  step1
	CBZ  R25, store1
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
store1:
	WALK_C
	STORE16x1
next:
	NEXT_PANEL($64)
	BNE  panel
	NEXT_BLOCK
	BNE  block
	RET
spread6:
	SPREAD16x6
	B    step6
spread5:
	SPREAD16x5
	B    step5
spread4:
	SPREAD16x4
	B    step4
spread3:
	SPREAD16x3
	B    step3
spread2:
	SPREAD16x2
	B    step2
spread1:
	SPREAD16x1
	B    step1

// Four columns: the accumulators are V0-V5. The rows that a tile lacks are skipped one by one.

#define LOAD4(c) \
	VLD1 (R11), [c] \
	ADD  R12, R11

#define SPREAD4(c) \
	VLD1R (R11), [c] \
	ADD   R12, R11

#define STORE4(c) \
	VST1 [c], (R11) \
	ADD  R12, R11

#define ROW4(a, c) \
	VLD1R.P (a)(R9), [V28.S4] \
	VFMLA   V24.S4, V28.S4, c

// func gemmNEONx4(p *panels)
TEXT ·gemmNEONx4(SB), NOSPLIT, $0-8
	ENTER
block:
	BLOCK
panel:
	PANEL
	CBNZ R24, spread
	LOAD4(V0.S4)
	CMP  $2, R26
	BLT  step
	LOAD4(V1.S4)
	CMP  $3, R26
	BLT  step
	LOAD4(V2.S4)
	CMP  $4, R26
	BLT  step
	LOAD4(V3.S4)
	CMP  $5, R26
	BLT  step
	LOAD4(V4.S4)
	CMP  $6, R26
	BLT  step
	LOAD4(V5.S4)
step:
	VLD1.P (R7)(R10), [V24.S4]
	ROW4(R1, V0.S4)
	CMP  $2, R26
	BLT  stepped
	ROW4(R2, V1.S4)
	CMP  $3, R26
	BLT  stepped
	ROW4(R3, V2.S4)
	CMP  $4, R26
	BLT  stepped
	ROW4(R4, V3.S4)
	CMP  $5, R26
	BLT  stepped
	ROW4(R5, V4.S4)
	CMP  $6, R26
	BLT  stepped
	ROW4(R6, V5.S4)
stepped:
	SUBS $1, R8
	BNE  step
	CBZ  R25, store
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
store:
	WALK_C
	STORE4(V0.S4)
	CMP  $2, R26
	BLT  next
	STORE4(V1.S4)
	CMP  $3, R26
	BLT  next
	STORE4(V2.S4)
	CMP  $4, R26
	BLT  next
	STORE4(V3.S4)
	CMP  $5, R26
	BLT  next
	STORE4(V4.S4)
	CMP  $6, R26
	BLT  next
	STORE4(V5.S4)
next:
	NEXT_PANEL($16)
	BNE  panel
	NEXT_BLOCK
	BNE  block
	RET
spread:
	SPREAD4(V0.S4)
	CMP  $2, R26
	BLT  step
	SPREAD4(V1.S4)
	CMP  $3, R26
	BLT  step
	SPREAD4(V2.S4)
	CMP  $4, R26
	BLT  step
	SPREAD4(V3.S4)
	CMP  $5, R26
	BLT  step
	SPREAD4(V4.S4)
	CMP  $6, R26
	BLT  step
	SPREAD4(V5.S4)
	B    step

// One column: as four, with scalars in F0-F5.

#define LOAD1(c) \
	FMOVS (R11), c \
	ADD   R12, R11

#define STORE1(c) \
	FMOVS c, (R11) \
	ADD   R12, R11

#define ROW1(a, c) \
	FMOVS  (a), F28 \
	ADD    R9, a \
	FMADDS F24, c, F28, c

// func gemmNEONx1(p *panels)
TEXT ·gemmNEONx1(SB), NOSPLIT, $0-8
	ENTER
block:
	BLOCK
panel:
	PANEL
	LOAD1(F0)
	CMP  $2, R26
	BLT  step
	LOAD1(F1)
	CMP  $3, R26
	BLT  step
	LOAD1(F2)
	CMP  $4, R26
	BLT  step
	LOAD1(F3)
	CMP  $5, R26
	BLT  step
	LOAD1(F4)
	CMP  $6, R26
	BLT  step
	LOAD1(F5)
step:
	FMOVS (R7), F24
	ADD   R10, R7
	ROW1(R1, F0)
	CMP  $2, R26
	BLT  stepped
	ROW1(R2, F1)
	CMP  $3, R26
	BLT  stepped
	ROW1(R3, F2)
	CMP  $4, R26
	BLT  stepped
	ROW1(R4, F3)
	CMP  $5, R26
	BLT  stepped
	ROW1(R5, F4)
	CMP  $6, R26
	BLT  stepped
	ROW1(R6, F5)
stepped:
	SUBS $1, R8
	BNE  step
	CBZ  R25, store
	RELU(0, V0.B16)
	RELU(1, V1.B16)
	RELU(2, V2.B16)
	RELU(3, V3.B16)
	RELU(4, V4.B16)
	RELU(5, V5.B16)
store:
	WALK_C
	STORE1(F0)
	CMP  $2, R26
	BLT  next
	STORE1(F1)
	CMP  $3, R26
	BLT  next
	STORE1(F2)
	CMP  $4, R26
	BLT  next
	STORE1(F3)
	CMP  $5, R26
	BLT  next
	STORE1(F4)
	CMP  $6, R26
	BLT  next
	STORE1(F5)
next:
	NEXT_PANEL($4)
	BNE  panel
	NEXT_BLOCK
	BNE  block
	RET
