package sleep

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestASleepEndsInTimeOrWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !For(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("a sleep of a minute took %v, or was cut short", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if For(ctx, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("a sleep that was cut short after a second took %v, or claims to be whole", time.Since(began))
		}
	})
}
