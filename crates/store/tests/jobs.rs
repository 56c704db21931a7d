#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! The outbox.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock as _, Time};
use store::Db;
use store::jobs::{self, Failure, Handlers, Policy, Runner};
use testkit::db::TestDb;
use testkit::{ManualClock, store_test};

const MAIL: &str = "mail";

async fn enqueue(db: &Db, key: &str, run_at: Time) {
    let mut tx = db.begin();
    jobs::enqueue(&mut tx, MAIL, key, "{\"to\":1}", run_at).await.unwrap();
    tx.commit().await.unwrap();
}

/// A runner whose handler counts its calls and answers with `result`.
fn counting(db: &Db, clock: &ManualClock, result: Result<(), Failure>) -> (Runner, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let handlers = Handlers::new().on(MAIL, move |job| {
        assert_eq!(job.payload, "{\"to\":1}");
        counter.fetch_add(1, Ordering::SeqCst);
        let result = result.clone();
        async move { result }
    });
    (Runner::new(db.clone(), clock.shared(), handlers), calls)
}

store_test!(a_job_runs_when_it_is_due_and_once, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    let (runner, calls) = counting(&db, &clock, Ok(()));
    enqueue(&db, "a", clock.now().plus(Duration::from_secs(10))).await;
    enqueue(&db, "a", clock.now()).await;

    assert_eq!(runner.run_due().await.unwrap(), 0);

    clock.advance(Duration::from_secs(10));

    assert_eq!(runner.run_due().await.unwrap(), 1);
    assert_eq!(runner.run_due().await.unwrap(), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
});

store_test!(a_job_goes_with_its_transaction, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    let (runner, _) = counting(&db, &clock, Ok(()));
    let mut tx = db.begin();
    jobs::enqueue(&mut tx, MAIL, "a", "{\"to\":1}", clock.now()).await.unwrap();
    drop(tx);

    assert_eq!(runner.run_due().await.unwrap(), 0);
});

store_test!(many_runners_run_each_job_once, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    for key in 0..100 {
        enqueue(&db, &key.to_string(), clock.now()).await;
    }
    let runs: Arc<Mutex<HashMap<String, usize>>> = Arc::default();

    let runners: Vec<_> = (0..8)
        .map(|_| {
            let runs = runs.clone();
            let handlers = Handlers::new().on(MAIL, move |job| {
                *runs.lock().unwrap().entry(job.key).or_default() += 1;
                async { Ok(()) }
            });
            let runner = Runner::new(db.db.clone(), clock.shared(), handlers);
            let db = db.db.clone();
            tokio::spawn(async move {
                let left = "SELECT count(*) AS n FROM store_jobs";
                while db.begin().read_one(left, &[]).await.unwrap().unwrap().int("n").unwrap() > 0 {
                    runner.run_due().await.unwrap();
                }
            })
        })
        .collect();
    for runner in runners {
        runner.await.unwrap();
    }

    let runs = runs.lock().unwrap();
    assert_eq!(runs.len(), 100);
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
});

store_test!(a_failing_job_is_tried_later_and_later_and_then_put_aside, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    let (runner, calls) = counting(&db, &clock, Err(Failure::Again("server is busy".to_owned())));
    let policy = Policy { attempts: 3, first_pause: Duration::from_secs(8), ..Policy::default() };
    let runner = runner.with_policy(policy);
    enqueue(&db, "a", clock.now()).await;

    assert_eq!(runner.run_due().await.unwrap(), 1);
    clock.advance(Duration::from_secs(3));
    assert_eq!(runner.run_due().await.unwrap(), 0, "half of the pause is certain");
    clock.advance(Duration::from_secs(5));
    assert_eq!(runner.run_due().await.unwrap(), 1);
    clock.advance(Duration::from_secs(7));
    assert_eq!(runner.run_due().await.unwrap(), 0, "the pause has doubled");
    clock.advance(Duration::from_secs(9));
    assert_eq!(runner.run_due().await.unwrap(), 1);
    clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(runner.run_due().await.unwrap(), 0);

    let dead = jobs::dead(&mut db.begin()).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].key.as_str(), dead[0].attempts, dead[0].error.as_str()), ("a", 3, "server is busy"));

    let mut tx = db.begin();
    assert!(jobs::retry(&mut tx, MAIL, "a", clock.now()).await.unwrap());
    assert!(!jobs::retry(&mut tx, MAIL, "b", clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(runner.run_due().await.unwrap(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
});

store_test!(a_hopeless_or_panicking_job_does_not_stop_the_others, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    for key in ["hopeless", "panics", "works"] {
        enqueue(&db, key, clock.now()).await;
    }
    let handlers = Handlers::new().on(MAIL, |job| async move {
        match job.key.as_str() {
            "hopeless" => Err(Failure::Never("no such address".to_owned())),
            "panics" => panic!("on purpose"),
            _ => Ok(()),
        }
    });
    let policy = Policy { attempts: 1, ..Policy::default() };

    let done = Runner::new(db.db.clone(), clock.shared(), handlers).with_policy(policy).run_due().await.unwrap();

    assert_eq!(done, 3);
    let dead = jobs::dead(&mut db.begin()).await.unwrap();
    let told: Vec<_> = dead.iter().map(|job| (job.key.as_str(), job.error.as_str())).collect();
    assert_eq!(told, [("hopeless", "no such address"), ("panics", "the handler panicked")]);

    let mut tx = db.begin();
    assert!(jobs::forget(&mut tx, MAIL, "hopeless").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(jobs::dead(&mut db.begin()).await.unwrap().len(), 1);
});

store_test!(a_job_whose_runner_died_is_run_after_its_lease_and_its_late_end_changes_nothing, &[], |db: TestDb| {
    async move {
        let clock = ManualClock::new();
        enqueue(&db, "a", clock.now()).await;
        let (started, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let (handler_started, handler_goes_on) = (started.clone(), go_on.clone());
        let handlers = Handlers::new().on(MAIL, move |_| {
            let (started, go_on) = (handler_started.clone(), handler_goes_on.clone());
            async move {
                started.notify_one();
                go_on.notified().await;
                Ok(())
            }
        });
        let slow = Runner::new(db.db.clone(), clock.shared(), handlers);
        let slow = tokio::spawn(async move { slow.run_due().await.unwrap() });
        started.notified().await;
        let (second, calls) = counting(&db, &clock, Err(Failure::Again("later".to_owned())));

        assert_eq!(second.run_due().await.unwrap(), 0, "the lease holds");
        clock.advance(Policy::default().lease);
        assert_eq!(second.run_due().await.unwrap(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);

        go_on.notify_one();
        assert_eq!(slow.await.unwrap(), 1);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(second.run_due().await.unwrap(), 1, "the late end of the first did not delete the job");
    }
});

store_test!(a_runner_wakes_for_a_new_job_and_stops_when_told, &[], |db: TestDb| async move {
    let clock = ManualClock::new();
    let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let handlers = Handlers::new().on(MAIL, move |job| {
        done.send(job.key).unwrap();
        async { Ok(()) }
    });
    let runner = Runner::new(db.db.clone(), clock.shared(), handlers);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        runner.run(stopped).await;
    });

    for key in ["a", "b"] {
        enqueue(&db, key, clock.now()).await;
        assert_eq!(seen.recv().await.unwrap(), key);
    }
    stop.send(()).unwrap();

    running.await.unwrap();
});
