// Promql evaluates expressions over samples of /metrics as Prometheus does, with its own libraries.
//
// Standard input is one JSON document: {"samples": [{"time": 1.5, "text": "…", "labels": {"pod": "…"}}, …],
// "queries": ["…"], "step": 1.0}, times in seconds. Standard output is one line of JSON for each query: a list of
// {"labels": {…}, "points": [[time, value], …]}. Nothing is kept. It serves drawings of the dashboard, not alerts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

var version = "none" // a hash of this source, set by the linker

type sample struct {
	Time   float64           `json:"time"`
	Text   string            `json:"text"`
	Labels map[string]string `json:"labels"`
}

type request struct {
	Samples []sample `json:"samples"`
	Queries []string `json:"queries"`
	Step    float64  `json:"step"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	Points [][2]float64      `json:"points"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql", version+":", err)
		os.Exit(2)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked request
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	if len(asked.Samples) == 0 || asked.Step <= 0 {
		return errors.New("no samples, or no step")
	}
	directory, err := os.MkdirTemp("", "promql-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	db, err := tsdb.Open(directory, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, one := range asked.Samples {
		if err := take(db, one); err != nil {
			return err
		}
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	defer engine.Close()
	start, end := at(asked.Samples[0].Time), at(asked.Samples[len(asked.Samples)-1].Time)
	answers := json.NewEncoder(out)
	for _, text := range asked.Queries {
		answer, err := evaluate(engine, db, text, start, end, time.Duration(asked.Step*float64(time.Second)))
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

func take(db *tsdb.DB, one sample) error {
	appender := db.Appender(context.Background())
	lines := textparse.NewPromParser([]byte(one.Text), labels.NewSymbolTable(), false)
	for {
		entry, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return appender.Commit()
		} else if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var named labels.Labels
		lines.Labels(&named)
		_, _, value := lines.Series()
		whole := labels.NewBuilder(named)
		for name, text := range one.Labels {
			whole.Set(name, text)
		}
		if _, err := appender.Append(0, whole.Labels(), at(one.Time).UnixMilli(), value); err != nil {
			return err
		}
	}
}

func evaluate(engine *promql.Engine, db *tsdb.DB, text string, start, end time.Time, step time.Duration) ([]series, error) {
	query, err := engine.NewRangeQuery(context.Background(), db, nil, text, start, end, step)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	matrix, err := query.Exec(context.Background()).Matrix()
	if err != nil {
		return nil, err
	}
	found := []series{}
	for _, one := range matrix {
		points := [][2]float64{}
		for _, point := range one.Floats {
			if !math.IsNaN(point.F) && !math.IsInf(point.F, 0) { // JSON has no word for them
				points = append(points, [2]float64{float64(point.T) / 1000, point.F})
			}
		}
		found = append(found, series{Labels: one.Metric.Map(), Points: points})
	}
	return found, nil
}

func at(seconds float64) time.Time {
	return time.UnixMilli(int64(seconds * 1000))
}
