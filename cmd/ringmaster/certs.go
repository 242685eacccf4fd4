package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"ringmaster/internal/certs"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/regularfile"
)

// certsVariable names the folder of the person's certificate where no flag does.
const certsVariable = "RINGMASTER_CERTS"

// certsDir is where commands make and look for certificates unless told otherwise.
const certsDir = "certs"

// certsFlag adds --certs to a command that speaks to a cluster.
func certsFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "certs", os.Getenv(certsVariable), "`folder` of your certificate (see ringmaster certs); needed beyond loopback")
}

// connection is how a command connects to the coordinators at the addresses: nothing special over loopback.
func connection(dir string, addresses []string) ([]grpc.DialOption, error) {
	options, _, err := connectionAs(dir, addresses)
	return options, err
}

// connectionAs is connection, and says as whom: "" without a certificate.
func connectionAs(dir string, addresses []string) ([]grpc.DialOption, certs.Role, error) {
	if dir == "" {
		for _, address := range addresses {
			if config.Beyond(address) {
				return nil, "", wrong(fmt.Errorf("%s is beyond loopback, where everything speaks mutual TLS: name the folder of your certificate by --certs (one is made by: ringmaster certs node NAME --role client)", address))
			}
		}
		return nil, "", nil
	}
	i, err := certs.Load(dir, time.Now())
	if err != nil {
		return nil, "", wrong(fmt.Errorf("--certs: %w", err))
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(i.Credentials(certs.Coordinator))}, i.Role, nil
}

func certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the certificates that clusters on several machines need",
		Long: `Makes a cluster's authority, the certificates of its coordinators, workers and people, and tokens by which a new machine
gets one from a running coordinator. Beyond loopback nothing is spoken without them.`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(certsInitCommand(), certsNodeCommand(), certsTokenCommand(), certsShowCommand())
	return cmd
}

func certsInitCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "init [--dir certs]",
		Short: "Make a cluster's authority, and a client's certificate for yourself",
		Long: `Makes a folder with a cluster's authority: whoever has its ca.key can make certificates, so keep it where you are. The folder
also holds a client's certificate, so that it serves as --certs of your own commands.`,
		Args: cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			a, err := certs.Init(dir, time.Now())
			if err != nil {
				return wrong(err)
			}
			_, err = fmt.Printf("%s: the authority of a new cluster, fingerprint %x\nnext: ringmaster certs node c1 --role coordinator --issue%s\n", dir, a.Fingerprint(), elsewhere(dir))
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", certsDir, "`folder` to make")
	return cmd
}

// elsewhere repeats --ca where it is not the default.
func elsewhere(dir string) string {
	if dir == certsDir {
		return ""
	}
	return " --ca " + dir
}

// newNode is what certs node was asked for.
type newNode struct {
	ca, out, role    string
	token, tokenFile string
	join             []string
	issue, replace   bool
	days             int
}

func certsNodeCommand() *cobra.Command {
	var n newNode
	cmd := &cobra.Command{
		Use:   "node ID --role coordinator|worker|client|viewer | node [ID] --token-file FILE --join ADDR",
		Short: "Make the certificate of a coordinator, a worker or a person",
		Long: `Makes a folder with a certificate: from the authority's folder, to be copied to the machine in private; or on the new machine
itself, by a token, from a running coordinator that was made with --issue. Then the key never leaves the machine.`,
		Args: cli.Takes("[ID]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := strings.Join(args, "")
			if n.tokenFile != "" {
				var err error
				if n.token, err = readToken(n.tokenFile, os.Stdin); err != nil {
					return wrong(err)
				}
			}
			if n.token != "" {
				return n.enroll(cmd.Context(), os.Stdout, id)
			}
			return n.make(os.Stdout, id)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&n.ca, "ca", certsDir, "`folder` of the authority")
	flags.StringVar(&n.role, "role", "", "what the holder may act as: coordinator, worker, client or viewer")
	flags.StringVar(&n.out, "out", "", "`folder` to make (default: certs/ID)")
	flags.BoolVar(&n.issue, "issue", false, "coordinator: give it the authority's keys, so that it admits machines that bring a token")
	flags.IntVar(&n.days, "days", certs.DefaultDays, "`days` of validity")
	flags.BoolVar(&n.replace, "replace", false, "replace the certificate that the folder holds")
	flags.StringVar(&n.tokenFile, "token-file", "", "`file` with the token by which a running coordinator makes the certificate; -: standard input")
	flags.StringVar(&n.token, "token", "", "the `token` itself, which other users of this machine may see in its list of processes")
	flags.StringSliceVar(&n.join, "join", nil, "with a token: `address`es of coordinators, host:port")
	for _, alone := range []string{"ca", "role", "issue", "days", "replace"} {
		cli.Either(cmd, "token", alone)
		cli.Either(cmd, "token-file", alone)
	}
	cli.Either(cmd, "token", "token-file")
	return cmd
}

// maxTokenFile is far more than the bytes of a token.
const maxTokenFile = 4 << 10

// readToken reads a token from a file, or from standard input where it is "-".
func readToken(path string, stdin io.Reader) (string, error) {
	from := stdin
	if path != "-" {
		open := regularfile.Open
		if path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") { // what a shell opens itself
			open = os.Open
		}
		f, err := open(path)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxTokenFile+1))
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxTokenFile {
		return "", fmt.Errorf("--token-file: %s holds no token; write there what \"ringmaster certs token\" printed", path)
	}
	return token, nil
}

// make makes a certificate from the authority's folder.
func (n *newNode) make(out io.Writer, id string) error {
	if n.role == "" || id == "" || len(n.join) > 0 {
		return wrong(errors.New("name the ID and its --role (coordinator, worker, client or viewer), or bring a --token-file and name --join"))
	}
	role, err := certs.ParseRole(n.role)
	if err != nil {
		return wrong(err)
	}
	if err := certs.CheckID(id); err != nil {
		return wrong(err)
	}
	a, err := certs.LoadAuthority(n.ca)
	if err != nil {
		return wrong(err)
	}
	if n.out == "" {
		n.out = filepath.Join(n.ca, id)
	}
	holder := certs.Peer{Role: role, ID: id}
	write := a.Node
	if n.replace {
		write = a.Renew
	}
	if err := write(n.out, holder, n.issue, n.days, time.Now()); err != nil {
		return wrong(err)
	}
	return tell(out, n.out, holder)
}

// enroll gets a certificate from a coordinator.
func (n *newNode) enroll(ctx context.Context, out io.Writer, id string) error {
	if len(n.join) == 0 {
		return wrong(errors.New("--join is missing: name a coordinator's host:port"))
	}
	for _, address := range n.join {
		if err := config.CheckAddress(address); err != nil {
			return wrong(fmt.Errorf("--join: %w", err))
		}
	}
	token, err := certs.ParseToken(n.token)
	if err != nil {
		return wrong(err)
	}
	if id == "" {
		id = token.Holder.ID
	}
	if err := certs.CheckID(id); err != nil {
		return wrong(err)
	}
	if n.out == "" {
		n.out = filepath.Join(certsDir, id)
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	holder, err := certs.Enroll(ctx, n.join, n.token, id, n.out, time.Now())
	if errors.Is(err, certs.ErrTaken) {
		return wrong(err)
	}
	if err != nil {
		return failed(err)
	}
	return tell(out, n.out, holder)
}

// tell says what was made and what to do with it.
func tell(out io.Writer, dir string, holder certs.Peer) error {
	next := map[certs.Role]string{
		certs.Coordinator: "coordinator --certs " + dir + " --id " + holder.ID + " --bind HOST:7070",
		certs.Worker:      "worker --certs " + dir + " --join COORDINATOR:7070",
		certs.Client:      "ringmaster status --certs " + dir + " --cluster COORDINATOR:7070",
		certs.Viewer:      "ringmaster ui --certs " + dir + " --cluster COORDINATOR:7070",
	}[holder.Role]
	_, err := fmt.Fprintf(out, "%s: the certificate of %v; keep it private\nnext, on its machine: %s\n", dir, holder, next)
	return failed(err)
}

func certsTokenCommand() *cobra.Command {
	var ca, role, id string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "token --role coordinator|worker|client|viewer",
		Short: "Make a token by which new machines get a certificate from a running coordinator",
		Long: `Prints a token. Whoever has it can get a certificate of the role until it expires, from any coordinator that was made with
--issue: hand it over in private. It names the authority, so a machine that brings it cannot be fooled by another server.`,
		Args: cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			holder, err := certs.ParseRole(role)
			if err != nil {
				return wrong(err)
			}
			a, err := certs.LoadAuthority(ca)
			if err != nil {
				return wrong(err)
			}
			token, err := a.Token(certs.Peer{Role: holder, ID: id}, ttl, time.Now())
			if err != nil {
				return wrong(err)
			}
			_, err = fmt.Println(token)
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&ca, "ca", certsDir, "`folder` of the authority, or of a coordinator made with --issue")
	cmd.Flags().StringVar(&role, "role", string(certs.Worker), "what the holder may act as: coordinator, worker, client or viewer")
	cmd.Flags().StringVar(&id, "id", "", "the only `name` that the holder may take (default: the holder chooses)")
	cmd.Flags().DurationVar(&ttl, "ttl", certs.DefaultTokenTime, "`time` until it expires, at most 168h")
	return cmd
}

func certsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [DIR]",
		Short: "Show whom a folder's certificate is for, by whose authority and until when",
		Args:  cli.Takes("[DIR]"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := certsDir
			if len(args) > 0 {
				dir = args[0]
			}
			i, err := certs.Load(dir, time.Now())
			if err != nil {
				return wrong(err)
			}
			issues := "no"
			if _, err := certs.LoadAuthority(dir); err == nil {
				issues = "yes: keep this folder private"
			}
			return failed(table(os.Stdout, []string{"role\t" + string(i.Role), "id\t" + i.ID, "expires\t" + i.Expires.UTC().Format(time.RFC3339),
				fmt.Sprintf("authority\t%x", i.Fingerprint()), "issues certificates\t" + issues}))
		},
	}
}
