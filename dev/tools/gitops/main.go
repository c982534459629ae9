// Gitops says what GitOps tools make of an object: Flux and others by kstatus, Argo CD by a Lua script.
//
//	gitops kstatus    a line is an object; the answer is {"status": "Current", "message": "…"}
//	gitops lua        a line is {"script": "…", "object": {…}}; the answer is what the script returns
//	gitops flux       a line is an object of Flux's own; the answer is its kind, if every field is known
//
// JSON on standard input, a document after the other; one line of JSON on standard output for each. What
// cannot be judged is answered with {"error": "…"}: the caller decides what that means. It judges with the
// libraries that those tools use, and holds no rules of its own.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

var version = "none" // a hash of this source, set by the linker

func main() {
	judges := map[string]func(json.RawMessage) (any, error){"flux": flux, "kstatus": kstatus, "lua": runLua}
	if len(os.Args) != 2 || judges[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: gitops flux|kstatus|lua (this is", version+")")
		os.Exit(2)
	}
	if err := judge(judges[os.Args[1]], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(2)
	}
}

func judge(one func(json.RawMessage) (any, error), in io.Reader, out io.Writer) error {
	documents, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var document json.RawMessage
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer, err := one(document)
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}
