package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	tables "ringmaster/internal/table"
)

func dataCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "Look at data before a model is trained on them, and pack them", Args: cobra.NoArgs}
	cmd.AddCommand(inspectCommand(), packCommand(), splitCommand())
	return cmd
}

// inspected is what inspect writes as JSON.
type inspected struct {
	Path    string           `json:"path"`
	Rows    int              `json:"rows"`
	Columns []tables.Summary `json:"columns"`
}

func inspectCommand() *cobra.Command {
	var format, delimiter string
	var noHeader, asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Tell what the columns of a table hold",
		Long: "Tell what the columns of a table hold: kinds of values, how many are missing and how many differ, least, largest and mean number.\n" +
			"FILE is CSV, TSV, JSON lines, Parquet, NPY or NPZ. Nothing is changed, and nothing is guessed: which columns are\n" +
			"categories, the job file says.",
		Args: cli.Takes("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			named := config.Data{Kind: "csv"}
			if _, ok := tables.FormatOf(args[0]); !ok && format == "" {
				return wrong(fmt.Errorf("%s: its name does not tell its format; name it by --format csv (or tsv, jsonl, parquet, npy, npz)", args[0]))
			}
			kind, err := dataset.TableFormat(named, args[0], format)
			if err != nil {
				return wrong(fmt.Errorf("--format: %w", err))
			}
			o := tables.Options{NoHeader: noHeader}
			if delimiter != "" {
				if utf8.RuneCountInString(delimiter) != 1 || strings.ContainsAny(delimiter, "\"\r\n\ufffd") {
					return wrong(fmt.Errorf("--delimiter must be one character, not %s", printable.Typed(delimiter)))
				}
				o.Delimiter, _ = utf8.DecodeRuneInString(delimiter)
			}
			r, err := tables.Open(args[0], kind, o)
			if errors.Is(err, fs.ErrNotExist) {
				return wrong(fmt.Errorf("%s does not exist", args[0]))
			}
			if err != nil {
				return wrong(err)
			}
			defer r.Close()
			columns, rows, err := tables.Summarize(r)
			if err != nil {
				return wrong(err)
			}
			if asJSON {
				return failed(writeJSON(os.Stdout, inspected{args[0], rows, columns}))
			}
			return failed(showColumns(args[0], rows, columns))
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "`kind` of table: csv, tsv, jsonl, parquet, npy or npz (default: by the file's name)")
	cmd.Flags().StringVar(&delimiter, "delimiter", "", "csv: the `character` between values (default ,)")
	cmd.Flags().BoolVar(&noHeader, "no-header", false, "csv, tsv: the first row is data already")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func showColumns(path string, rows int, columns []tables.Summary) error {
	fmt.Printf("%s: %s, %s\n", path, plural.Of(rows, "row"), plural.Of(len(columns), "column"))
	lines := []string{"column\tkinds\tmissing\tdistinct\tmin\tmean\tmax\tvalues"}
	for i := range columns {
		c := &columns[i]
		cells := []string{printable.Line(c.Name, 40), kindsOf(c, rows), strconv.Itoa(c.Missing), c.MoreDistinct(), "", "", "", valuesOf(c)}
		if n := c.Numbers; n != nil {
			for k, v := range []float64{n.Min, n.Mean, n.Max} {
				cells[4+k] = strconv.FormatFloat(v, 'g', 6, 64)
			}
		}
		lines = append(lines, strings.Join(cells, "\t"))
	}
	return table(os.Stdout, lines)
}

// kindsOf lists the kinds of values of a column, with how many there are where they are not all of one kind.
func kindsOf(c *tables.Summary, rows int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c.Kinds)) {
		word := kind
		if kind == "array" && c.Shape != nil {
			word += " of " + dataset.Extent(c.Shape)
		}
		if c.Kinds[kind] != rows-c.Missing {
			word = strconv.Itoa(c.Kinds[kind]) + " " + word
		}
		parts = append(parts, word)
	}
	return strings.Join(parts, ", ")
}

// valuesOf lists the values of a column that has few, with their counts.
func valuesOf(c *tables.Summary) string {
	var parts []string
	for _, value := range slices.Sorted(maps.Keys(c.Values)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", value, c.Values[value]))
	}
	return printable.Line(strings.Join(parts, ", "), 100)
}
