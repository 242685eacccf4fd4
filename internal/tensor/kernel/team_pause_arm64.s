//go:build !purego

#include "textflag.h"

// func spinWait()
TEXT ·spinWait(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $32, R0
again:
	YIELD
	SUBS $1, R0, R0
	BNE  again
	RET
