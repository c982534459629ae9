package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// limit is how long Argo CD lets a script run (its util/lua/lua.go).
const limit = time.Second

// runLua runs a script as Argo CD runs one from argocd-cm: the same interpreter, the object as the global obj,
// a second of time, and no libraries but these. (Argo CD adds a harmless os; ours do without.)
func runLua(document json.RawMessage) (any, error) {
	var task struct {
		Script string
		Object any
	}
	if err := json.Unmarshal(document, &task); err != nil {
		return nil, err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, task.Object))
	if err := state.DoString(task.Script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returns a %s, not a table", state.Get(-1).Type())
	}
	return fromLua(table)
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, item := range value {
			table.RawSetString(name, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua does as Argo CD's encoder does: a table without a first element is an object, but an empty one is a list.
func fromLua(value lua.LValue) (any, error) {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value), nil
	case lua.LNumber:
		return float64(value), nil
	case lua.LString:
		return string(value), nil
	case *lua.LTable:
		list, object := []any{}, map[string]any{}
		var failed error
		value.ForEach(func(name, item lua.LValue) {
			found, err := fromLua(item)
			if err != nil {
				failed = err
			}
			if name.Type() == lua.LTNumber {
				list = append(list, found)
			} else {
				object[name.String()] = found
			}
		})
		if failed != nil {
			return nil, failed
		}
		if len(list) > 0 && len(object) > 0 {
			return nil, fmt.Errorf("a table is both a list and an object")
		}
		if len(object) > 0 {
			return object, nil
		}
		return list, nil
	}
	return nil, fmt.Errorf("a %s is no JSON", value.Type())
}
