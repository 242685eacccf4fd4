//go:build !purego

#include "textflag.h"

// func spinWait()
TEXT ·spinWait(SB), NOSPLIT|NOFRAME, $0-0
	PAUSE
	PAUSE
	RET
