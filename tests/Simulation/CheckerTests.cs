// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The checker itself: for each invariant a made-up history that breaks it is rejected by that invariant's name, and a
/// good history passes.
/// </summary>
public sealed class CheckerTests
{
    private const long Slack = 250_000;

    [Fact]
    public void A_good_history_passes()
    {
        var history = Of(Put(1, 0xA, Version(1)), Get(1, 10, 0xA, Version(1)), Upsert(2, 20, 0xB, Version(2)),
            Get(1, 30, 0xB, Version(2)), Remove(1, 40, 0xB, Version(3)), Miss(1, 50), Upsert(2, 60, 0xC, Version(4)),
            Get(1, 70, 0xC, Version(4)));
        history.Add(new UsageSample(5, "n1", 100, 20, 3, 123));
        history.Add(new ExtentSample(5, 1, 7, 0, 4096, 11, 0xA));
        history.Add(new ExtentSample(6, 1, 7, 0, 4096, 11, 0xA));
        history.Add(new ExtentSample(7, 1, 8, 0, 4096, 12, 0xB));
        var record = Record(4, 0xC, 1);
        history.Quiet = [State("n1", 1, record, new KnownHeld("key", 0xC)), State("n2", 2, record)];
        Assert.Empty(RunChecker.Check(history, Slack));
    }

    [Fact]
    public void Bytes_that_no_put_wrote_are_rejected() =>
        Rejected(HistoryChecker.Bytes, Of(Put(1, 0xA, Version(1)), Get(1, 10, 0xDEAD, default)));

    [Fact]
    public void Bytes_of_two_puts_are_rejected() =>
        Rejected(HistoryChecker.Bytes, Of(Put(1, 0xA, Version(1)), Get(1, 10, CallRecord.Torn, default)));

    [Fact]
    public void Bytes_of_another_key_are_rejected() =>
        Rejected(HistoryChecker.Bytes, Of(Put(1, 0xA, Version(1)), Get(1, 10, 0xA, default) with { Key = "other" }));

    [Fact]
    public void Bytes_of_a_put_that_was_refused_are_rejected() =>
        Rejected(HistoryChecker.Bytes, Of(Put(1, 0xA, default) with { Outcome = CallOutcome.Refused },
            Get(1, 10, 0xA, default)));

    [Fact]
    public void A_read_behind_an_earlier_read_is_rejected() =>
        Rejected(HistoryChecker.Order, Of(Put(1, 0xA, Version(1)), Upsert(2, 10, 0xB, Version(2)),
            Get(3, 20, 0xB, Version(2)), Get(3, 30, 0xA, Version(1))));

    [Fact]
    public void A_read_behind_the_clients_own_write_is_rejected() =>
        Rejected(HistoryChecker.Order, Of(Put(1, 0xA, Version(1)), Upsert(2, 10, 0xB, Version(2)),
            Get(2, 20, 0xA, Version(1))));

    [Fact]
    public void A_read_in_a_mesh_that_has_nothing_of_the_one_before_passes()
    {
        var history = Of(Put(1, 0xA, Version(2)), Upsert(2, 20, 0xB, Version(1)), Get(1, 30, 0xB, Version(1)));
        Assert.Contains(RunChecker.Check(history, Slack), v => v.Rule == HistoryChecker.Order);
        history.Begins(15);
        Assert.Empty(RunChecker.Check(history, Slack));
    }

    [Fact]
    public void A_read_in_another_mesh_passes()
    {
        var history = Of(Put(1, 0xA, Version(2)), Upsert(2, 20, 0xB, Version(1)),
            Get(1, 30, 0xB, Version(1)) with { Past = 1 });
        Assert.Empty(RunChecker.Check(history, Slack));
    }

    [Fact]
    public void A_mesh_too_many_is_rejected()
    {
        var history = Of();
        history.Meshes.UnionWith([1, 2]);
        Rejected(RunChecker.OneMesh, history);
        history.Wipes = 1;
        Assert.Empty(RunChecker.Check(history, Slack));
    }

    [Fact]
    public void A_read_of_what_the_client_removed_is_rejected() =>
        Rejected(HistoryChecker.Order, Of(Put(1, 0xA, Version(1)), Remove(2, 10, 0xA, Version(2)),
            Get(2, 20, 0xA, Version(3))));

    [Fact]
    public void A_miss_of_what_a_holder_has_is_rejected() =>
        Rejected(HistoryChecker.Found, Of(Put(1, 0xA, Version(1)),
            Miss(2, 10) with { Value = 0xA, HeldThroughout = true }));

    [Fact]
    public void A_miss_of_what_was_removed_passes() =>
        Assert.Empty(RunChecker.Check(Of(Put(1, 0xA, Version(1)), Remove(3, 10, 0xA, Version(2)),
            Miss(2, 20) with { Value = 0xA, HeldThroughout = true }), Slack));

    [Theory]
    [InlineData(2)]
    [InlineData(1)]
    public void A_miss_of_what_lost_against_the_other_side_of_a_split_passes(int other) =>
        Assert.Empty(RunChecker.Check(Of(Put(1, 0xA, Version(other)), Upsert(3, 10, 0xB, Version(1)),
            Miss(2, 20) with { Value = 0xB, HeldThroughout = true }), Slack));

    [Fact]
    public void A_miss_of_what_won_against_the_other_side_of_a_split_is_rejected() =>
        Rejected(HistoryChecker.Found, Of(Put(1, 0xA, Version(1)), Upsert(3, 10, 0xB, Version(2)),
            Miss(2, 20) with { Value = 0xB, HeldThroughout = true }));

    [Fact]
    public void A_late_call_is_rejected() =>
        Rejected(HistoryChecker.Deadline, Of(Get(1, 0, 0, default) with
        {
            Outcome = CallOutcome.Unknown,
            End = 1_000_000 + Slack + 1,
        }));

    [Fact]
    public void A_buffer_that_changes_after_the_call_is_rejected()
    {
        var history = Of(Put(1, 0xA, Version(1)), Get(1, 10, 0xA, Version(1)));
        history.BufferChanged(1);
        Rejected(HistoryChecker.Buffers, history);
    }

    [Fact]
    public void A_write_under_a_word_is_rejected()
    {
        var history = Of();
        history.Add(new ExtentSample(5, 1, 7, 0, 4096, 11, 0xA));
        history.Add(new ExtentSample(6, 1, 8, 0, 4096, 11, 0xB));
        Rejected(RunChecker.Extents, history);
    }

    [Fact]
    public void Copies_that_differ_are_rejected()
    {
        var history = Of();
        history.Add(new ExtentSample(5, 1, 7, 0, 4096, 11, 0xA));
        history.Add(new ExtentSample(5, 2, 7, 0, 8192, 12, 0xB));
        Rejected(RunChecker.Copies, history);
    }

    [Fact]
    public void Used_bytes_that_do_not_add_up_are_rejected()
    {
        var history = Of();
        history.Add(new UsageSample(5, "n1", 100, 20, 3, 124));
        Rejected(RunChecker.Used, history);
    }

    [Fact]
    public void Two_owners_who_decide_are_rejected()
    {
        var history = Of();
        history.Add(new RivalOwners(5, 3, "n1", "n2"));
        Assert.DoesNotContain(RunChecker.Check(history, 0), violation => violation.Rule == RunChecker.Decides);
        history.Add(new RivalOwners(1_000_005, 3, "n1", "n2"));
        Rejected(RunChecker.Decides, history);
    }

    /// <summary>Each a way in which nodes may still disagree after quiet time.</summary>
    public static TheoryData<string> Disagreements =>
    [
        "another view", "not ready", "another version", "one owner alone", "no holder", "no owner", "a replica less",
    ];

    [Theory]
    [MemberData(nameof(Disagreements))]
    public void A_disagreement_after_quiet_time_is_rejected(string what)
    {
        var record = Record(4, 0xC, 1);
        var held = new KnownHeld("key", 0xC);
        var history = Of();
        history.Quiet = what switch
        {
            "another view" => [State("n1", 1, record, held), State("n2", 2, record) with { View = "1.3" }],
            "not ready" => [State("n1", 1, record, held), State("n2", 2, record) with { NotReady = "2 slots" }],
            "another version" => [State("n1", 1, record, held), State("n2", 2, Record(3, 0xC, 1))],
            "one owner alone" => [State("n1", 1, record, held), State("n2", 2, null)],
            "no holder" => [State("n1", 1, record), State("n2", 2, record)],
            "no owner" => [State("n1", 1, null, held), State("n2", 2, null)],
            _ => [State("n1", 1, record, held), State("n2", 2, Record(4, 0xC, 1, 2), held)],
        };
        Rejected(RunChecker.Agreement, history);
    }

    private static void Rejected(string rule, RunHistory history)
    {
        var violations = RunChecker.Check(history, Slack);
        Assert.NotEmpty(violations);
        Assert.All(violations, v => Assert.Equal(rule, v.Rule));
    }

    private static RunHistory Of(params CallRecord[] calls)
    {
        var history = new RunHistory();
        foreach (var call in calls)
            history.Add(call);
        return history;
    }

    private static RecordVersion Version(long counter) => new(1, 2, counter);

    private static CallRecord Put(int client, ulong value, RecordVersion version) =>
        Call(client, 0, CallKind.Put, value, version);

    private static CallRecord Upsert(int client, long start, ulong value, RecordVersion version) =>
        Call(client, start, CallKind.Upsert, value, version);

    private static CallRecord Get(int client, long start, ulong value, RecordVersion version) =>
        Call(client, start, CallKind.Get, value, version);

    private static CallRecord Remove(int client, long start, ulong value, RecordVersion version) =>
        Call(client, start, CallKind.Remove, value, version);

    private static CallRecord Miss(int client, long start) =>
        Call(client, start, CallKind.Get, 0, default) with { Outcome = CallOutcome.NotFound };

    private static CallRecord Call(int client, long start, CallKind kind, ulong value, RecordVersion version) => new()
    {
        Client = client,
        Start = start,
        End = start + 5,
        Limit = 1_000_000,
        Kind = kind,
        Key = "key",
        Outcome = CallOutcome.Done,
        Value = value,
        Version = version,
    };

    private static KnownRecord Record(long counter, ulong objectId, params ulong[] replicas) =>
        new("key", Version(counter), objectId, false, replicas);

    private static NodeState State(string nodeId, ulong incarnation, KnownRecord? record, params KnownHeld[] held) =>
        new(nodeId, incarnation, "1.2", null, record is null ? [] : [record], held);
}
