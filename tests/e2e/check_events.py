#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_events.py SCHEMA DIRECTORY: every event (docs/events.md) in a file of that directory, a line
each, is as the schema says. Knows the words of JSON Schema that ours uses, and no others."""
import json, os, re, sys

KNOWN = {'$ref', 'type', 'required', 'properties', 'additionalProperties', 'items', 'enum', 'const',
         'minimum', 'minLength', 'pattern'}
TYPES = {'object': dict, 'array': list, 'string': str, 'boolean': bool, 'integer': int,
         'number': (int, float)}


def problems(value, schema, root, at):
    """What is wrong with it, a line each."""
    if '$ref' in schema:
        schema = root['$defs'][schema['$ref'].rsplit('/', 1)[1]]
    assert set(schema) <= KNOWN, f'the schema has {set(schema) - KNOWN}'
    if 'const' in schema and value != schema['const'] or 'enum' in schema and value not in schema['enum']:
        yield f'{at} is {value!r}'
    kind = schema.get('type')
    if kind and (not isinstance(value, TYPES[kind]) or isinstance(value, bool) != (kind == 'boolean')):
        yield f'{at} is {value!r}, which is no {kind}'
        return
    if kind in ('integer', 'number') and value < schema.get('minimum', value):
        yield f'{at} is {value}'
    if kind == 'string' and (len(value) < schema.get('minLength', 0) or
                             not re.search(schema.get('pattern', ''), value)):
        yield f'{at} is {value!r}'
    if kind == 'array':
        for i, item in enumerate(value):
            yield from problems(item, schema['items'], root, f'{at}[{i}]')
    if kind == 'object':
        for name in schema['required']:
            if name not in value:
                yield f'{at} has no {name}'
        for name, item in value.items():
            if name in schema['properties']:
                yield from problems(item, schema['properties'][name], root, f'{at}.{name}')
            else:
                yield f'{at} has a {name}, which the schema does not know'


def events_of(path):
    """Events in that file: lines that are whole, as a process that is killed leaves half of one."""
    with open(path, 'rb') as file:
        for line in file:
            if line.startswith(b'{"event":') and line.endswith(b'}\n'):
                yield json.loads(line)


def nonsense(event, memory_bytes):
    """What is wrong with an event that the schema cannot know; memory_bytes: of the guest, or None."""
    if event.get('event') != 'progress':
        return
    pages, done, sent = (event.get(f'round_{which}pages', 0) for which in ('', 'done_', 'sent_'))
    if not sent <= done <= pages:
        yield f'progress: {sent} of {done} of {pages} pages'
    # Video memory and the like come on top. Holes do not: they would make progress leap at the end.
    if memory_bytes and pages * 4096 > memory_bytes * 1.05 + (64 << 20):
        yield f'progress: {pages} pages of a guest of {memory_bytes} bytes'
    if bool(event.get('watch_left_ns')) and (done or event.get('send_pages_per_s')):
        yield 'progress: something is sent while the guest is watched'


def main(schema_path, directory):
    with open(schema_path, encoding='utf-8') as file:
        root = json.load(file)
    for parent, _, names in os.walk(directory):
        for path in (os.path.join(parent, name) for name in names):
            if not os.path.isfile(path) or os.path.islink(path) or os.path.getsize(path) > 1 << 24:
                continue
            memory_bytes = None
            for event in events_of(path):
                memory_bytes = event.get('memory_bytes', memory_bytes)
                kind = event.get('event')
                schema = root['$defs'].get(kind)
                wrong = list(problems(event, schema, root, kind)) if schema else [f'no {kind} is known']
                wrong += nonsense(event, memory_bytes)
                if wrong:
                    sys.exit(f'{path}: {wrong[0]}: {json.dumps(event)[:400]}')


if __name__ == '__main__':
    main(*sys.argv[1:])
