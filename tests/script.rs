//! Scripts and their calls: what the loader refuses, what a call costs, and how a source comes to a
//! server that lacks it.

mod support;

use std::time::{Duration, Instant};

use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Error, Redis, ScriptLibrary};
use include_dir::{Dir, DirEntry, File};
use support::target::{own, own_behind_proxy};
use support::{LONG, SLACK, holder, on_lock, quick, redis, redis_on, script, until};
use tokio::task::JoinSet;

async fn acquire(redis: &Redis) -> Result<i64, Error> {
    on_lock("lock/acquire", redis).arg("holder", holder('a')).arg("ttl", 60_000).run().await
}

/// EVALSHA and EVAL calls that a server has counted.
fn calls(server: &Server) -> (u64, u64) {
    (server.command_calls("evalsha"), server.command_calls("eval"))
}

mod header {
    use super::*;

    const GOOD: &str = "--[[
  a/b: does something.

  KEYS   key  a string
  ARGV   one  the first
         two  the second, which
              goes on
  GIVES  int  0 no, 1 yes
         nil  nil nothing
  FAILS  WRONGTYPE, OOM
  REPEAT counts
  COST   O(1)
]]
local key = KEYS[1]
local one = ARGV[1]
local two = tonumber(ARGV[2])
return 0
";

    fn file(path: &'static str, text: &str) -> DirEntry<'static> {
        DirEntry::File(File::new(path, Vec::leak(text.as_bytes().to_vec())))
    }

    fn folder(files: Vec<DirEntry<'static>>) -> Result<ScriptLibrary, String> {
        let dir = Box::leak(Box::new(Dir::new("", Vec::leak(files))));
        ScriptLibrary::new(dir).map_err(|error| error.to_string())
    }

    #[test]
    fn it_says_all_that_a_caller_must_know() {
        let library = folder(vec![file("a/b.lua", GOOD)]).unwrap();
        let contract = library.get("a/b").unwrap().contract();
        assert_eq!((&*contract.title, &*contract.summary), ("a/b", "does something."));
        let names: Vec<_> = contract.args.iter().map(|arg| (&*arg.name, &*arg.doc)).collect();
        assert_eq!(names, [("one", "the first"), ("two", "the second, which goes on")]);
        let shapes: Vec<_> = contract.gives.iter().map(|given| &*given.shape).collect();
        assert_eq!(shapes, ["int", "nil"]);
        assert_eq!(contract.gives[0].outcomes[1].meaning, "yes");
        assert_eq!(contract.fails, ["WRONGTYPE", "OOM"]);
        assert_eq!(contract.repeat, auth_adapter_redis::script::Repeat::Counts);
    }

    #[test]
    fn what_breaks_its_form_is_refused_by_name_and_rule() {
        for (from, to, rule) in [
            ("--[[", "--", "the first line"),
            ("a/b:", "a/c:", "titled"),
            ("a/b: does", "does", "must open with"),
            ("  REPEAT counts\n", "", "REPEAT is missing"),
            ("  COST   O(1)\n", "", "COST is missing"),
            ("COST ", "PRICE", "PRICE is no part"),
            ("counts", "sometimes", "neither same nor counts"),
            ("FAILS  WRONGTYPE, OOM", "FAILS  wrong", "no code"),
            ("GIVES  int", "GIVES  float", "none of int"),
            ("0 no, 1 yes", "0, 1", "what is"),
            ("         two", "        two", "out of its column"),
            ("ARGV   one ", "ARGV   key ", "stands twice"),
            ("ARGV   one ", "ARGV   One ", "is no name"),
            ("ARGV   one ", "ARGV   one...", "must come last"),
            ("  COST   O(1)\n", "  COST   O(1)\n  COST   O(2)\n", "COST stands twice"),
            ("local key = KEYS[1]\n", "", "expected `local key = KEYS[1]`"),
            ("local one = ARGV[1]", "local uno = ARGV[1]", "expected `local one = ARGV[1]`"),
            ("local one = ARGV[1]", "local one = ARGV[2]", "expected `local one = ARGV[1]`"),
            ("return 0", "local three = ARGV[3]", "does not name"),
            ("return 0", "-- more:\n\nreturn redis.call('GET', KEYS[2])", "does not name"),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{from}");
            let why = folder(vec![file("a/b.lua", &broken)]).unwrap_err();
            assert!(why.starts_with("script a/b: ") && why.contains(rule), "{rule:?}: {why}");
        }
    }

    #[test]
    fn a_header_without_an_end_is_refused() {
        let (header, _) = GOOD.split_once("]]").unwrap();
        assert!(folder(vec![file("a/b.lua", header)]).unwrap_err().contains("no end"));
    }

    #[test]
    fn a_script_lies_at_noun_and_verb() {
        for path in ["b.lua", "a/b/c.lua"] {
            assert!(folder(vec![file(path, GOOD)]).unwrap_err().contains("noun/verb"));
        }
        let other = folder(vec![file("a/b.lua", GOOD), file("a/notes.txt", "no script")]);
        assert_eq!(other.unwrap().iter().len(), 1);
    }

    #[test]
    fn an_include_is_expanded_before_hashing_and_one_level_deep() {
        let with = GOOD.replace("return 0", "-- @include shared/part\nreturn 0");
        let part = || file("shared/part.lua", "local answer = 42\n");
        let library = folder(vec![file("a/b.lua", &with), part()]).unwrap();
        let script = library.get("a/b").unwrap();
        assert!(script.source().contains("local answer = 42\nreturn 0"));
        let sha = sha1_smol::Sha1::from(script.source()).digest().to_string();
        assert_eq!(script.sha(), sha);
        assert_eq!(library.iter().len(), 1, "a fragment is no operation");

        for mistyped in ["  -- @include shared/part", "--@include shared/part", "-- @include"] {
            let with = GOOD.replace("return 0", mistyped);
            let error = folder(vec![file("a/b.lua", &with), part()]).unwrap_err();
            assert!(error.contains("is no include"), "{error}");
        }
        let missing = folder(vec![file("a/b.lua", &with)]).unwrap_err();
        assert!(missing.contains("\"shared/part\", which is not there"), "{missing}");
        let deeper = file("shared/part.lua", "-- @include shared/other\n");
        let twice = folder(vec![file("a/b.lua", &with), deeper]).unwrap_err();
        assert!(twice.contains("which includes again"), "{twice}");
    }
}

mod call {
    use super::*;

    #[tokio::test]
    async fn it_is_one_round_trip_and_two_where_the_script_is_not_there() {
        let server = own();
        let redis = redis_on(&server).await;
        acquire(&redis).await.unwrap();
        assert_eq!(calls(&server), (1, 1));
        acquire(&redis).await.unwrap();
        assert_eq!(calls(&server), (2, 1));
        server.flush_scripts().unwrap();
        acquire(&redis).await.unwrap();
        acquire(&redis).await.unwrap();
        assert_eq!(calls(&server), (4, 2));
    }

    #[tokio::test]
    async fn an_error_of_the_script_itself_still_brings_it() {
        let server = own();
        let redis = redis_on(&server).await;
        server.command(&["LPUSH", "lock", "x"]).unwrap();
        for _ in 0..3 {
            acquire(&redis).await.unwrap_err();
        }
        assert_eq!(calls(&server), (3, 1));
    }

    #[tokio::test]
    async fn another_shape_is_an_error_that_names_script_and_shapes_and_no_content() {
        let redis = redis().await;
        let holder = holder('a');
        let call = || on_lock("lock/acquire", &redis).arg("holder", &holder).arg("ttl", 60_000);
        let error = call().run::<String>().await.unwrap_err();
        assert_eq!(error.to_string(), "lock/acquire gave int, expected UTF-8 string");
        let error = call().run::<(i64, i64)>().await.unwrap_err();
        assert_eq!(error.to_string(), "lock/acquire gave int, expected array [int, int]");
        let inspect = on_lock("lock/peek", &redis).run::<(Vec<u8>, String)>();
        let error = inspect.await.unwrap_err().to_string();
        assert_eq!(
            error,
            "lock/peek gave array with int at 2, expected array [string, UTF-8 string]"
        );
        let release = on_lock("lock/release", &redis).arg("holder", &holder);
        let error = release.run::<Option<String>>().await.unwrap_err();
        assert_eq!(error.to_string(), "lock/release gave int, expected UTF-8 string or nil");
        let raw = on_lock("lock/peek", &redis).run::<Value>().await.unwrap();
        assert_eq!(raw, Value::Nil);
    }

    #[cfg(debug_assertions)]
    mod checked {
        use super::*;

        #[tokio::test]
        #[should_panic(expected = "lock/acquire: bound out of order")]
        async fn a_name_out_of_order_panics() {
            let _ = on_lock("lock/acquire", &redis().await).arg("ttl", 1);
        }

        #[tokio::test]
        #[should_panic(expected = "lock/release: bound out of order")]
        async fn one_name_too_many_panics() {
            let _ = on_lock("lock/release", &redis().await).arg("holder", "h").arg("more", 1);
        }

        #[tokio::test]
        #[should_panic(expected = "lock/acquire: names left unbound")]
        async fn a_name_that_is_left_out_panics() {
            let redis = redis().await;
            let _ = on_lock("lock/acquire", &redis).arg("holder", "h").run::<i64>().await;
        }

        #[tokio::test]
        #[should_panic(expected = "lock/acquire: holder")]
        async fn an_argument_of_two_words_panics() {
            let _ = on_lock("lock/acquire", &redis().await).arg("holder", &["a", "b"][..]);
        }

        #[tokio::test]
        #[should_panic(expected = "cache/delete_many: keys")]
        async fn fewer_keys_than_announced_panic() {
            let redis = redis().await;
            let _ = script("cache/delete_many").call_many(&redis, 2).keys("key", ["one"]);
        }
    }
}

mod load {
    use super::*;

    #[tokio::test]
    async fn it_puts_every_script_on_the_server_ahead_of_time() {
        let server = own();
        let redis = redis_on(&server).await;
        library().load(&redis).await.unwrap();
        for script in library().iter() {
            let there = server.command(&["SCRIPT", "EXISTS", script.sha()]).unwrap();
            assert!(format!("{there:?}").contains("Int(1)"), "{}: {there:?}", script.name());
        }
        acquire(&redis).await.unwrap();
        assert_eq!(calls(&server), (1, 0));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_an_error() {
        let server = own();
        server.kill().unwrap();
        let redis = Redis::connect(&server.url()).await.unwrap();
        assert!(matches!(library().load(&redis).await, Err(Error::Unavailable(_))));
    }
}

mod storm {
    use super::*;

    const CALLS: usize = 1024;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_cold_calls_send_the_source_once_or_little_more() {
        let server = own();
        let redis = redis_on(&server).await;
        for round in 1..=3 {
            server.flush_scripts().unwrap();
            server.command(&["CONFIG", "RESETSTAT"]).unwrap();
            let mut storm = JoinSet::new();
            for _ in 0..CALLS {
                let redis = redis.clone();
                storm.spawn(async move { acquire(&redis).await });
            }
            for outcome in storm.join_all().await {
                assert_eq!(outcome.unwrap(), 0);
            }
            let (evalsha, eval) = calls(&server);
            assert!(evalsha >= CALLS as u64, "{evalsha}");
            assert!((1..=4).contains(&eval), "round {round}: {eval} sources");
        }
    }

    #[tokio::test]
    async fn a_flush_in_its_midst_fails_no_call() {
        let server = own();
        let redis = redis_on(&server).await;
        let mut storm = JoinSet::new();
        for _ in 0..CALLS {
            let redis = redis.clone();
            storm.spawn(async move { acquire(&redis).await });
        }
        let mut ended = 0;
        while let Some(outcome) = storm.join_next().await {
            assert_eq!(outcome.unwrap().unwrap(), 0);
            ended += 1;
            if ended % 100 == 0 {
                server.flush_scripts().unwrap();
            }
        }
        assert_eq!(ended, CALLS);
    }

    /// Also those of callers who waited for another's in vain.
    #[tokio::test]
    async fn every_source_that_is_sent_is_counted() {
        let server = own();
        let redis = redis_on(&server).await;
        server.command(&["CONFIG", "RESETSTAT"]).unwrap();
        let mut storm = JoinSet::new();
        for _ in 0..64 {
            let redis = redis.clone();
            storm.spawn(async move {
                for _ in 0..40 {
                    acquire(&redis).await.unwrap();
                }
            });
        }
        while storm.try_join_next().is_none() {
            server.flush_scripts().unwrap();
            // Another step of the storm, of the many that a call takes.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        storm.join_all().await;
        assert_eq!(redis.scripts_loaded(), calls(&server).1);
    }

    /// The first caller gets `NOSCRIPT`, sends the source and is dropped before the reply is there.
    #[tokio::test]
    async fn a_bringer_that_is_dropped_strands_nobody() {
        let server = own_behind_proxy();
        let proxy = server.proxy();
        let redis = quick(server.url()).call_deadline(LONG).build().unwrap();
        redis.connected().await;
        proxy.delay(Duration::from_millis(50));
        let bringer = tokio::spawn({
            let redis = redis.clone();
            async move { acquire(&redis).await }
        });
        while server.command_calls("eval") == 0 {
            tokio::task::yield_now().await;
        }
        let mut followers = JoinSet::new();
        for _ in 0..16 {
            let redis = redis.clone();
            followers.spawn(async move { acquire(&redis).await });
        }
        tokio::task::yield_now().await;
        bringer.abort();
        assert!(bringer.await.unwrap_err().is_cancelled());
        for outcome in followers.join_all().await {
            assert_eq!(outcome.unwrap(), 0);
        }
    }

    /// Callers that wait for one whose source never gets an answer end with their own deadline.
    #[tokio::test]
    async fn a_bringer_that_hangs_holds_nobody_past_the_deadline() {
        let server = own_behind_proxy();
        let proxy = server.proxy();
        let deadline = Duration::from_millis(500);
        let redis = quick(server.url()).call_deadline(deadline).build().unwrap();
        redis.connected().await;
        proxy.delay(Duration::from_millis(100));
        let began = Instant::now();
        let mut storm = JoinSet::new();
        for _ in 0..64 {
            let redis = redis.clone();
            storm.spawn(async move { acquire(&redis).await });
        }
        until(|| server.command_calls("evalsha") == 64).await;
        // Its answer comes after theirs: all have been told that the script is not there, and one
        // has sent it.
        redis.ping().await.unwrap();
        until(|| server.command_calls("eval") == 1).await;
        proxy.freeze_present();
        let mut unsent = 0;
        for outcome in storm.join_all().await {
            let error = outcome.unwrap_err();
            unsent += usize::from(matches!(error, Error::Unavailable(_)));
        }
        assert!(began.elapsed() < deadline + SLACK, "{:?}", began.elapsed());
        assert!(unsent > 0, "those that waited sent no source");
        assert_eq!(calls(&server), (64, 1));
    }
}
