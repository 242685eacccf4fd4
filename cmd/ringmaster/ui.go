package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"ringmaster/internal/certs"
	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/ui"
)

func uiCommand() *cobra.Command {
	var dir, certificate, bind string
	var cluster []string
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "ui [--dir DIR | --cluster ADDR]",
		Short: "Serve a page in the browser that shows a cluster and lets you act on it",
		Long: `Serves a page on this machine that shows what a cluster does: curves, the ring, workers, views, checkpoints and the queue of jobs, with
buttons to pause, resume, stop, cancel and scale. It asks the coordinators with your certificate, follows the leader and outlives any of them.
Without --dir and --cluster it shows the run below runs that was launched last.

The address that it prints works once; after that the browser has a cookie. On another machine, bring the port here by ssh -L.`,
		Example: `  ringmaster ui
  ringmaster ui --cluster coordinator-1:7000 --certs certs --read-only`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, err := clusterOf(dir, cluster)
			if err != nil {
				return err
			}
			if len(cluster) == 0 {
				certificate = "" // a launch is on this machine alone
			}
			options, role, err := connectionAs(certificate, addresses)
			if err != nil {
				return err
			}
			page, err := openPage(bind, func() []string { return addresses }, options, readOnly || role == certs.Viewer)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			fmt.Fprintf(os.Stdout, "page: %s\n", page.address)
			return failed(page.serve(ctx))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&cluster, "cluster", nil, "`address`es of coordinators, host:port")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "serve no buttons, and refuse what they would do")
	bindFlag(cmd, "bind", &bind)
	certsFlag(cmd, &certificate)
	cli.Either(cmd, "dir", "cluster")
	return cmd
}

// pageFlags say whether a launch serves a page, and where.
type pageFlags struct {
	wanted bool
	bind   string
}

func bindFlag(cmd *cobra.Command, name string, bind *string) {
	cmd.Flags().StringVar(bind, name, "127.0.0.1:0", "`address` to serve the page on, host:port of this machine's loopback; port 0 is any free one")
}

// page is a page that is ready to be served.
type page struct {
	address  string // with the token that opens it
	listener net.Listener
	server   *ui.Server
}

// openPage opens the page's port. What is served there can change the cluster and is not encrypted, so it must be on loopback.
func openPage(bind string, addresses func() []string, options []grpc.DialOption, readOnly bool) (*page, error) {
	if err := config.CheckListen(bind); err != nil {
		return nil, wrong(fmt.Errorf("--bind: %w", err))
	}
	if config.Beyond(bind) {
		return nil, wrong(fmt.Errorf("--bind %s is beyond loopback, where anybody could read the page: bind 127.0.0.1:0, and bring the port to you by ssh -L", bind))
	}
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, wrong(fmt.Errorf("--bind: %w", err))
	}
	token := rand.Text()
	at := listener.Addr().String()
	server := ui.New(ui.Config{Dial: func() ui.Cluster { return client.New(addresses(), options...) }, Machine: host.ID(), ReadOnly: readOnly, Host: at, Token: token,
		Session: rand.Text() + rand.Text(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	return &page{address: "http://" + at + "/?token=" + token, listener: listener, server: server}, nil
}

// openFor opens the page of a launch, which serves it from when its cluster is up until end is called.
func openFor(ctx context.Context, bind string, o *launch.Options) (end func(), err error) {
	var addresses []string
	p, err := openPage(bind, func() []string { return addresses }, nil, false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	o.Up = func(at []string) {
		addresses = at
		o.Display.Note("page: " + p.address)
		serving.Go(func() {
			if err := p.serve(ctx); err != nil && !errors.Is(err, net.ErrClosed) { // which is how the end below looks from here
				fmt.Fprintln(o.Warnings, "the page is not served any more: "+err.Error())
			}
		})
	}
	return func() {
		cancel()
		_ = p.listener.Close() // it is closed already where the page was served
		serving.Wait()
	}, nil
}

// serve serves the page until ctx ends.
func (p *page) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		p.server.Run(ctx)
	}()
	server := &http.Server{Handler: p.server.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(p.listener) }()
	var err error
	select {
	case <-ctx.Done():
		err = server.Close()
	case err = <-ended:
	}
	cancel()
	<-asking
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
