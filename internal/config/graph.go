package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/printable"
)

// maxInputs is how many inputs a model, or a node of it, can have.
const maxInputs = 64

// setGraphDefaults names the nodes that have no name by their place, has each read the one before it where it does not say what
// it reads, and finds the output.
func (m *Model) setGraphDefaults(o *origin) {
	if m.Kind != ModelGraph {
		return
	}
	def(o, "model.inputs", &m.Inputs, []string{"input"})
	setLayerDefaults(o, "model.nodes", m.Nodes)
	for i := range m.Nodes {
		n, at := &m.Nodes[i], indexed("model.nodes", i)
		def(o, at+".name", &n.Name, strconv.Itoa(i))
		switch {
		case o.written(at+".inputs") || n.Joins():
		case i > 0:
			n.Inputs = []string{m.Nodes[i-1].Name}
		case len(m.Inputs) > 0:
			n.Inputs = []string{m.Inputs[0]}
		}
	}
	if unread := m.unread(); len(unread) == 1 && !o.written("train.losses") {
		def(o, "model.output", &m.Output, m.Nodes[unread[0]].Name)
	}
}

// OutputNodes are the nodes that targets are compared with.
func (m *Model) OutputNodes() []string {
	if len(m.outputs) > 0 {
		return m.outputs
	}
	return []string{m.Output}
}

// unread lists the nodes that no other reads.
func (m *Model) unread() []int {
	read := map[string]bool{}
	for i := range m.Nodes {
		for _, name := range m.Nodes[i].Inputs {
			read[name] = read[name] || name != m.Nodes[i].Name
		}
	}
	var found []int
	for i := range m.Nodes {
		if !read[m.Nodes[i].Name] {
			found = append(found, i)
		}
	}
	return found
}

// TopologicalOrder lists the nodes so that each comes after those that it reads, and otherwise as they are listed. stuck are those for which
// there is no such order: they are on a cycle, or behind one, or read what does not exist.
func (m *Model) TopologicalOrder() (order, stuck []int) {
	known := map[string]bool{}
	for _, name := range m.Inputs {
		known[name] = true
	}
	for i := range m.Nodes {
		stuck = append(stuck, i)
	}
	for {
		next := slices.IndexFunc(stuck, func(i int) bool {
			return !slices.ContainsFunc(m.Nodes[i].Inputs, func(name string) bool { return !known[name] })
		})
		if next < 0 {
			return order, stuck
		}
		i := stuck[next]
		known[m.Nodes[i].Name] = true
		order, stuck = append(order, i), slices.Delete(stuck, next, next+1)
	}
}

func (m *Model) validateGraph(c *checker) {
	if len(m.Nodes) == 0 || len(m.Nodes) > maxLayers {
		c.require("model.nodes", false, "model.nodes must list 1 to %d nodes, not %d", maxLayers, len(m.Nodes))
		return
	}
	names := map[string]string{}
	c.require("model.inputs", len(m.Inputs) > 0 && len(m.Inputs) <= maxInputs, "model.inputs must name 1 to %d inputs of the data, not %d", maxInputs, len(m.Inputs))
	for i, name := range m.Inputs {
		at := indexed("model.inputs", i)
		c.require(at, name != "", "%s: write the name of an input", at)
		c.require(at, names[name] == "", "%s: %s is named twice", at, printable.Typed(name))
		names[name] = at
	}
	known := m.names()
	for i := range m.Nodes {
		n, at := &m.Nodes[i], indexed("model.nodes", i)
		validateLayerName(c, names, at, n.Name)
		if n.validateKind(c, at) {
			n.validate(c, at, 0)
			m.validateEdges(c, at, n, known)
		}
	}
	if len(c.b.problems) == 0 { // else what follows would be said of what was not meant
		m.validateWhole(c)
	}
}

// validateEdges checks what a node reads and whose weights it uses.
func (m *Model) validateEdges(c *checker, at string, n *Layer, known []string) {
	if n.Joins() && len(n.Inputs) == 0 {
		c.present(at+".inputs", "name the two or more nodes that "+n.Kind+" joins")
	}
	for i, name := range n.Inputs {
		key := indexed(at+".inputs", i)
		requireNode(c, key, name, known)
		c.require(key, name != n.Name || !c.b.origin.written(key), "%s: node %s reads itself", key, printable.Typed(name))
	}
	fewest, most := 1, 1
	switch {
	case n.Joins():
		fewest, most = 2, maxInputs
	case n.Kind == "attention":
		most = 2
	}
	if got := len(n.Inputs); got < fewest {
		c.require(at+".inputs", !c.b.origin.written(at+".inputs"), "%s.inputs: %s takes %s, not %d", at, n.Kind, atLeast(fewest, most), got)
	} else {
		c.require(at+".inputs", got <= most, "%s.inputs: %s takes %s, not %d; join them by a node of kind add, multiply or concat", at, n.Kind, atLeast(fewest, most), got)
	}
	if n.Weights != "" {
		owner := slices.IndexFunc(m.Nodes, func(other Layer) bool { return other.Name == n.Weights })
		requireNode(c, at+".weights", n.Weights, known[len(m.Inputs):])
		if owner >= 0 {
			c.require(at+".weights", n.Weights != n.Name && m.Nodes[owner].Weights == "", "%s.weights: %s has no weights of its own", at, printable.Typed(n.Weights))
		}
	}
}

// atLeast says how many inputs a layer takes.
func atLeast(fewest, most int) string {
	switch {
	case most == 1:
		return "1 input"
	case most == fewest+1:
		return fmt.Sprintf("%d or %d inputs", fewest, most)
	}
	return fmt.Sprintf("%d to %d inputs", fewest, most)
}

// requireNode records that a name is not known, and what was probably meant. There may be too many names to list, or to compare all with.
func requireNode(c *checker, key, name string, known []string) {
	if slices.Contains(known, name) {
		return
	}
	hint := ""
	if len(c.b.problems) < maxProblems && (len(known) <= 12 || Closest(name, known) != "") {
		hint = suggestion(name, known)
	}
	c.require(key, false, "%s: there is no node %s%s", key, printable.Typed(name), hint)
}

// names are the model's inputs and then its nodes.
func (m *Model) names() []string {
	names := slices.Clone(m.Inputs)
	for i := range m.Nodes {
		names = append(names, m.Nodes[i].Name)
	}
	return names
}

// validateWhole checks that the nodes make one computation from the inputs to the output.
func (m *Model) validateWhole(c *checker) {
	if _, stuck := m.TopologicalOrder(); len(stuck) > 0 {
		i, path := m.cycle(stuck)
		c.require(indexed("model.nodes", i)+".inputs", false, "model.nodes[%d]: the nodes read each other in a circle: %s", i, path)
		return
	}
	unread := m.unread()
	if len(m.outputs) > 0 {
		m.validateOutputs(c, unread)
		return
	}
	if m.Output == "" {
		var names []string
		for _, i := range unread {
			names = append(names, m.Nodes[i].Name)
		}
		c.require(indexed("model.nodes", unread[1]), false, "model.nodes: no node reads %s, so there are %d outputs; join them, name the one that counts in model.output and take away the others, or give each a loss in train.losses",
			printable.Typed(strings.Join(names, " and ")), len(unread))
		return
	}
	output := slices.IndexFunc(m.Nodes, func(n Layer) bool { return n.Name == m.Output })
	requireNode(c, "model.output", m.Output, m.names()[len(m.Inputs):])
	for _, i := range unread {
		at := indexed("model.nodes", i)
		c.require(at, output < 0 || i == output, "%s: nobody reads node %s, and it is not model.output; take it away", at, printable.Typed(m.Nodes[i].Name))
	}
	m.validateRead(c)
}

// validateOutputs checks that each node is read, or has a loss.
func (m *Model) validateOutputs(c *checker, unread []int) {
	c.require("model.output", m.Output == "", "model.output: train.losses name the outputs; leave it out")
	for i, name := range m.outputs {
		requireNode(c, indexed("train.losses", i)+".output", name, m.names()[len(m.Inputs):])
	}
	for _, i := range unread {
		at := indexed("model.nodes", i)
		c.require(at, slices.Contains(m.outputs, m.Nodes[i].Name), "%s: nobody reads node %s, and none of train.losses does; take it away", at, printable.Typed(m.Nodes[i].Name))
	}
	m.validateRead(c)
}

// validateRead checks that each input is read.
func (m *Model) validateRead(c *checker) {
	for i, name := range m.Inputs {
		read := slices.ContainsFunc(m.Nodes, func(n Layer) bool { return slices.Contains(n.Inputs, name) })
		c.require(indexed("model.inputs", i), read, "model.inputs[%d]: no node reads %s", i, printable.Typed(name))
	}
}

// cycle finds a circle among nodes that have no order: the first of its nodes in the list, and its names.
func (m *Model) cycle(stuck []int) (first int, path string) {
	at := func(name string) int {
		return slices.IndexFunc(stuck, func(i int) bool { return m.Nodes[i].Name == name })
	}
	var walked []int
	for next := 0; !slices.Contains(walked, next); {
		walked = append(walked, next)
		for _, name := range m.Nodes[stuck[next]].Inputs {
			if k := at(name); k >= 0 {
				next = k
				break
			}
		}
		if k := slices.Index(walked, next); k >= 0 {
			walked = walked[k:]
			break
		}
	}
	names := make([]string, 0, len(walked)+1)
	for _, k := range walked {
		names = append(names, m.Nodes[stuck[k]].Name)
	}
	return stuck[slices.Min(walked)], printable.Typed(strings.Join(append(names, names[0]), " <- "))
}
