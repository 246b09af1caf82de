//! What never ends is stopped, however it does it; what ends is not changed; what is strange is left alone.

use super::{STOP, rewrite};
use crate::transform::cpu_time;
use crate::transform::engine::{Sandbox, Stopping};
use crate::transform::interrupt::{self, Code, Stop};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, Instance, Linker, WasmList};
use wasmtime::{Store, StoreContextMut};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(Stopping::Interrupts).unwrap());

/// A component around a module with this code, which exports `run`.
fn component(code: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $code (memory 1) {code})
            (core instance $of_it (instantiate $code))
            (func (export "run") (result u32) (canon lift (core func $of_it "run"))))"#
    );
    wat::parse_str(text).unwrap()
}

fn instance(component: &[u8]) -> (Store<()>, Instance) {
    instance_of(&Component::new(&SANDBOX.engine, component).unwrap())
}

fn instance_of(component: &Component) -> (Store<()>, Instance) {
    let mut store = Store::new(&SANDBOX.engine, ());
    let mut linker = Linker::new(&SANDBOX.engine);
    let work = |_: StoreContextMut<'_, ()>, (): ()| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {}
        Ok(())
    };
    linker.root().func_wrap("work", work).unwrap();
    let instance = linker.instantiate(&mut store, component).unwrap();
    (store, instance)
}

/// Runs a component, watched, for so long at most; answers what it answers, if it does.
fn run(component: &[u8], time: Duration) -> Option<u32> {
    let component = Component::new(&SANDBOX.engine, component).unwrap();
    run_compiled(&component, time)
}

fn run_compiled(component: &Component, time: Duration) -> Option<u32> {
    let (mut store, instance) = instance_of(component);
    let stop = Arc::new(Stop::of(Code::of(component).unwrap()));
    let byte = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut store, STOP).unwrap();
    let (byte,) = byte.call(&mut store, ()).unwrap();
    let byte = byte.as_le_slice(&store).first().unwrap();
    let watchdog = SANDBOX.watchdog.as_ref().unwrap();
    #[allow(unsafe_code, reason = "as in the sandbox")]
    // SAFETY: the memory is the checks' own and lives as long as the store, which is dropped after the watch.
    let watch = unsafe { watchdog.watch(Arc::clone(&stop), byte) };
    interrupt::heed(&mut store, stop);
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run").unwrap();
    let start = cpu_time::of_this_thread();
    let watching = watch.begin(time, start + time);
    let answer = run.call(&mut store, ());
    let late = cpu_time::of_this_thread().saturating_sub(start + time);
    // Met by chance only, it would run on for seconds.
    assert!(late < Duration::from_millis(500), "stopped too late: {late:?}");
    assert_eq!(answer.is_err(), watching.end(), "{answer:?}");
    answer.ok().map(|(answer,)| answer)
}

fn is_stopped(code: &str) {
    let rewritten = rewrite(&component(code)).unwrap();
    assert_eq!(run(&rewritten, Duration::from_millis(30)), None);
}

#[test]
fn loops_are_stopped_whatever_they_do() {
    is_stopped(r#"(func (export "run") (result i32) (loop (br 0)) (i32.const 1))"#);
    is_stopped(r#"(func (export "run") (result i32) (loop (br_if 0 (i32.const 1))) (i32.const 1))"#);
    is_stopped(
        r#"(func (export "run") (result i32) (local i32)
            (loop (loop (br_table 0 1 0 (local.get 0)))) (i32.const 1))"#,
    );
    is_stopped(
        r#"(func (export "run") (result i32) (local i32)
            (loop (i32.store (local.get 0) (i32.load (i32.const 8))) (br 0)) (i32.const 1))"#,
    );
    // The head of the outer one is not met again while the inner one runs.
    is_stopped(
        r#"(func (export "run") (result i32) (local i32)
            (loop (drop (i32.load (i32.const 8))) (loop (drop (i32.load (i32.const 8))) (br 0)) (br 0)) (i32.const 1))"#,
    );
}

#[test]
fn what_calls_itself_is_stopped() {
    // Twice each time, so that the stack does not end it: 2 to the power of its depth.
    is_stopped(
        r#"(func $again (param i32) (if (local.get 0) (then
                (call $again (i32.sub (local.get 0) (i32.const 1))) (call $again (i32.sub (local.get 0) (i32.const 1))))))
           (func (export "run") (result i32) (call $again (i32.const 100)) (i32.const 1))"#,
    );
    is_stopped(
        r#"(func $a (param i32) (if (local.get 0) (then (call $b (local.get 0)) (call $b (local.get 0)))))
           (func $b (param i32) (call $a (i32.sub (local.get 0) (i32.const 1))))
           (func (export "run") (result i32) (call $a (i32.const 100)) (i32.const 1))"#,
    );
    is_stopped(r#"(func $run (export "run") (result i32) (return_call $run))"#);
    is_stopped(
        r#"(type $run (func (result i32))) (table 1 funcref) (elem (i32.const 0) $again)
           (func $again (result i32) (return_call_indirect (type $run) (i32.const 0)))
           (func (export "run") (result i32) (call_indirect (type $run) (i32.const 0)))"#,
    );
}

#[test]
fn what_gets_into_a_table_on_the_way_is_stopped() {
    is_stopped(
        r#"(type $run (func (result i32))) (table 1 funcref)
           (func $again (export "again") (result i32) (return_call_indirect (type $run) (i32.const 0)))
           (func (export "run") (result i32)
                (table.set (i32.const 0) (ref.func $again)) (call_indirect (type $run) (i32.const 0)))"#,
    );
}

#[test]
fn long_ways_without_a_loop_are_stopped() {
    // Each calls the next one twice.
    let calls = |n: u32| format!("(func $f{n} (call $f{0}) (call $f{0}))", n + 1);
    let chain: String = (0..60).map(calls).collect();
    is_stopped(&format!(
        r#"{chain} (func $f60) (func (export "run") (result i32) (call $f0) (i32.const 1))"#
    ));
    // No branch of a condition hides how long the way past it is.
    let calls = |n: u32| {
        format!(
            "(func $f{n} (param i32) (call $f{0} (local.get 0)) (if (local.get 0) (then (loop) )) (call $f{0} (local.get 0)))",
            n + 1
        )
    };
    let chain: String = (0..60).map(calls).collect();
    is_stopped(&format!(
        r#"{chain} (func $f60 (param i32)) (func (export "run") (result i32) (call $f0 (i32.const 0)) (i32.const 1))"#
    ));
}

#[test]
fn what_the_host_does_for_a_guest_is_stopped() {
    let looping = |code: &str| {
        is_stopped(&format!(
            r#"(table $t 10000 funcref) (elem $e func $run) (data $d "0123456789")
               (func $run (export "run") (result i32)
                    (drop (memory.grow (i32.const 1000)))
                    (loop {code} (br 0)) (i32.const 1))"#
        ));
    };
    looping("(memory.fill (i32.const 0) (i32.const 1) (i32.const 65000000))");
    looping("(memory.copy (i32.const 0) (i32.const 1) (i32.const 65000000))");
    looping("(memory.copy (i32.const 0) (i32.const 1) (i32.const 5))");
    looping("(memory.copy (i32.const 0) (i32.const 1) (i32.const 129))");
    looping("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 10))");
    looping("(drop (memory.grow (i32.const 0)))");
    looping("(table.fill $t (i32.const 0) (ref.null func) (i32.const 10000))");
    looping("(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 9999))");
    looping("(drop (table.grow $t (ref.null func) (i32.const 0)))");
    let fill = "(memory.fill (i32.const 0) (i32.const 1) (i32.const 4194304))".repeat(20_000);
    let text = format!(
        r#"(func (export "run") (result i32) (drop (memory.grow (i32.const 63))) {fill} (i32.const 1))"#
    );
    is_stopped(&text);
}

#[test]
fn who_calls_the_host_again_and_again_is_stopped() {
    let component = wat::parse_str(
        r#"(component
            (import "work" (func $work)) (core func $work (canon lower (func $work)))
            (core module $code
                (import "host" "work" (func $work)) (memory 1)
                (type $work (func)) (table 1 funcref) (elem (i32.const 0) $work)
                (func (export "run") (result i32) (loop (call_indirect (type $work) (i32.const 0)) (br 0)) (i32.const 1)))
            (core instance $host (export "work" (func $work)))
            (core instance $of_it (instantiate $code (with "host" (instance $host))))
            (func (export "run") (result u32) (canon lift (core func $of_it "run"))))"#,
    );
    let rewritten = rewrite(&component.unwrap()).unwrap();
    assert_eq!(run(&rewritten, Duration::from_millis(30)), None);
}

/// Wherever in its code a guest is: at beginnings and ends of functions, in the midst of calls, close to the end of its
/// stack.
#[test]
fn guests_are_stopped_at_any_place() {
    let code = r#"
        (type $step (func (param i32) (result i32))) (table 2 funcref) (elem (i32.const 0) $deep $flat)
        (func $flat (param i32) (result i32) (i32.popcnt (local.get 0)))
        (func $deep (param $n i32) (result i32)
            (if (result i32) (local.get $n)
                (then (i32.add
                    (call_indirect (type $step) (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))
                    (call_indirect (type $step) (local.get $n) (i32.const 1))))
                (else
                    (memory.copy (i32.const 100) (i32.const 90) (i32.and (i32.load (i32.const 0)) (i32.const 127)))
                    (i32.const 0))))
        (func (export "run") (result i32)
            (loop
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (call $deep (i32.const 5000))))
                (br 0))
            (i32.const 1))"#;
    let component = Component::new(&SANDBOX.engine, rewrite(&component(code)).unwrap()).unwrap();
    for n in 0..300 {
        // Not a multiple of how often the watchdog looks.
        assert_eq!(run_compiled(&component, Duration::from_micros(37 * n)), None);
    }
}

#[test]
fn copies_are_copies() {
    // Answers with a sum over all places after a copy, each of which differs from the others.
    let code = |to: u32, from: u32, bytes: u32| {
        format!(
            r#"(global $bytes (mut i32) (i32.const {bytes}))
            (func (export "run") (result i32) (local $n i32) (local $sum i32)
                (loop (i32.store8 (local.get $n) (i32.mul (local.get $n) (i32.const 167)))
                    (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400))))
                (memory.copy (i32.const {to}) (i32.const {from}) (global.get $bytes))
                (local.set $n (i32.const 0))
                (loop (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load8_u (local.get $n))))
                    (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400))))
                (local.get $sum))"#
        )
    };
    let expected = |to: usize, from: usize, bytes: usize| {
        let mut memory: Vec<u8> = (0..400_u32).map(|n| (n * 167).to_le_bytes()[0]).collect();
        memory.copy_within(from..from + bytes, to);
        memory.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
    };
    let lengths = (0..70).chain([127, 128, 129, 200]);
    for (nth, bytes) in lengths.enumerate() {
        // Apart, over each other to both sides, and onto itself.
        let (to, from) = [(200, 0), (3, 0), (0, 5), (7, 7)][nth % 4];
        for (to, from) in [(to, from), (from, to)] {
            let rewritten = rewrite(&component(&code(to, from, bytes))).unwrap();
            let expected = expected(to as usize, from as usize, bytes as usize);
            assert_eq!(
                run(&rewritten, Duration::from_secs(10)),
                Some(expected),
                "{bytes} from {from} to {to}"
            );
        }
    }
}

#[test]
fn copies_beyond_the_end_trap() {
    for bytes in [1, 2, 5, 8, 16, 30, 64, 65, 4000, u32::MAX] {
        for (to, from) in
            [(65_536 - bytes.min(300) / 2, 0), (0, 65_536 - bytes.min(300) / 2), (u32::MAX, 0), (0, u32::MAX)]
        {
            let code = format!(
                r#"(global $bytes (mut i32) (i32.const {bytes}))
                (func (export "run") (result i32)
                    (memory.copy (i32.const {to}) (i32.const {from}) (global.get $bytes)) (i32.const 1))"#
            );
            let (mut store, instance) = instance(&rewrite(&component(&code)).unwrap());
            let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run").unwrap();
            assert!(run.call(&mut store, ()).is_err(), "{bytes} from {from} to {to}");
        }
    }
}

#[test]
fn what_ends_in_time_answers_as_before() {
    let code = r#"
        (global $calls (mut i32) (i32.const 0))
        (func $fib (param i32) (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0)) (else
                (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "run") (result i32) (local $n i32) (local $sum i32)
            (block $done (loop $next
                (br_if $done (i32.eq (local.get $n) (i32.const 20)))
                (local.set $sum (i32.add (local.get $sum) (call $fib (local.get $n))))
                (i32.store (local.get $n) (local.get $sum))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br $next)))
            (i32.add (local.get $sum) (global.get $calls)))"#;
    let original = component(code);
    let (mut store, instance) = instance(&original);
    let plain = instance.get_typed_func::<(), (u32,)>(&mut store, "run").unwrap();
    let (answer,) = plain.call(&mut store, ()).unwrap();
    // The first twenty Fibonacci numbers, and how many calls they take.
    assert_eq!(answer, 10_945 + 35_400);
    assert_eq!(run(&rewrite(&original).unwrap(), Duration::from_secs(10)), Some(answer));
}

#[test]
fn what_is_strange_is_left_as_it_is() {
    let unusual = |text: &str| rewrite(&wat::parse_str(text).unwrap()).unwrap_err();
    let looping = r#"(memory (export "memory") 1) (func (export "run") (loop (br 0)))"#;
    assert_eq!(unusual(&format!("(module {looping})")), "no component");
    assert_eq!(unusual(&format!("(component (core module {looping}))")), "not instantiated once");
    assert_eq!(
        unusual(&format!("(component (component (core module {looping})))")),
        "a module in a nested component"
    );
    assert_eq!(
        unusual(&format!(
            "(component (core module $a {looping}) (core module $b {looping})
                (core instance (instantiate $a)) (core instance (instantiate $b)))"
        )),
        "several modules with a memory"
    );
    assert_eq!(
        unusual(
            r#"(component (core module $a (memory 1) (func $run (export "run") (loop (br 0))) (start $run))
                (core instance (instantiate $a)))"#
        ),
        "it has a start function"
    );
    assert_eq!(
        unusual(&format!(
            r#"(component (core module $a {looping}) (core module $b (import "a" "memory" (memory 1))
                    (func (export "run") (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))
                (core instance $of_a (instantiate $a)) (core instance (instantiate $b (with "a" (instance $of_a)))))"#
        )),
        "several modules that work on memory"
    );
    assert_eq!(unusual("(component)"), "no memory");
    assert_eq!(
        unusual(
            r#"(component (core module $a (memory 1) (func (export "gristmill:stop") (loop (br 0))))
                (core instance (instantiate $a)))"#
        ),
        "a name is taken"
    );
}
