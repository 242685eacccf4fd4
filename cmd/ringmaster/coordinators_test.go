package main

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ringmaster/internal/client"
)

// A removal may take its time, but not where nobody answers. Time is simulated.
func TestRemoveWaitsForAnAnswerAsOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		coordinators := client.New([]string{"127.0.0.1:1"}, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(refuse))
		defer coordinators.Close()
		ctx, cancel := context.WithTimeout(t.Context(), answerTimeout+removeTimeout)
		defer cancel()
		began := time.Now()
		err := removeCoordinator(ctx, coordinators, "c2", false)
		if !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("the removal ends with %v", err)
		}
		if took := time.Since(began); took != answerTimeout {
			t.Errorf("it took %v to give up, want %v", took, answerTimeout)
		}
	})
}
