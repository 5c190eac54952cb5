// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Whom a locate asks when an owner turns out to be down while it waits for that one's answer.</summary>
public sealed class LocateOrderTests : IAsyncDisposable
{
    private static readonly MeshKey Key = new("k");
    private readonly ScriptedPeers _peers = new();

    [Fact]
    public async Task An_owner_that_is_found_to_be_down_meanwhile_does_not_hide_the_one_behind_it()
    {
        var members = _peers.Members(3, i => (ulong)i);
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = 256 }, 1, members);
        int slot = view.SlotOf(Key.Hash);
        NodeRecord primary = view.Owner(slot, 0)!, backup = view.Owner(slot, 1)!, third = view.Owner(slot, 2)!;
        Serve(primary, null);
        Serve(backup, answer => answer.Set(0, OwnerCode.Yes, new ObjectRecord { ObjectId = 5 }));
        Serve(third, answer => answer.Set(0, OwnerCode.Unsure));

        var (context, links) = _peers.ClientOf(view);
        foreach (var member in members)
            Assert.True((await links.ConnectAsync(member, Lane.Client, TimeSpan.FromSeconds(10), default)).Succeeded);
        var deadline = new Deadline(_peers.Runtime.Time, TimeSpan.FromSeconds(20));
        var locating = LocateOperation.RunAsync(context, [Key], default, deadline, CancellationToken.None);
        // It has asked the primary and waits; another call gives the primary up.
        links.Failed(primary, new MeshError(MeshErrorCode.DeadlineExceeded, "test", "no answer"));

        var located = await locating;
        Assert.Equal(5ul, located.RecordOf(0)?.ObjectId);
        Assert.InRange(deadline.Elapsed, TimeSpan.Zero, TimeSpan.FromMilliseconds(900));
    }

    [Theory]
    [InlineData(true, 0, true)]
    [InlineData(true, 1, true)]
    [InlineData(true, 2, false)]
    [InlineData(true, 3, false)]
    [InlineData(false, 0, false)]
    [InlineData(false, 1, false)]
    public async Task What_holders_do_not_have_is_denied_by_one_that_may_deny_alone(bool final, int says, bool denied)
    {
        var newest = new ObjectRecord
        {
            Version = new RecordVersion(1, 1, 9),
            ObjectId = 5,
            Replicas = [new Replica(1, 0, 0, 7), new Replica(2, 0, 0, 8)],
        };
        var older = newest with { Version = new RecordVersion(1, 1, 8), ObjectId = 4 };
        var stale = new StaleRecords();
        stale.Add(newest);
        stale.Add(older);
        ObjectRecord[] said =
        [
            newest,
            // Fewer copies than those that were looked for: that is no news.
            newest with { Replicas = newest.Replicas[..1] },
            // Who knows but what was before is behind, whether or not it was looked for.
            older,
            newest with { Version = new RecordVersion(1, 1, 7), ObjectId = 3, Replicas = [new Replica(3, 0, 0, 9)] },
        ];
        var members = _peers.Members(3, i => (ulong)i);
        var view = new MeshView(new MeshConfig { MeshId = 1, Slots = 256 }, 1, members);
        int slot = view.SlotOf(Key.Hash);
        Serve(view.Owner(slot, 0)!, null);
        Serve(view.Owner(slot, 1)!, answer =>
        {
            answer.Set(0, OwnerCode.Yes, said[says]);
            answer.IsFinal = final;
        });
        Serve(view.Owner(slot, 2)!, answer => answer.Set(0, OwnerCode.Unsure));

        var (context, _) = _peers.ClientOf(view);
        // What nobody may deny is asked for until the end; a denial comes before, on a busy machine too.
        var deadline = new Deadline(_peers.Runtime.Time, TimeSpan.FromSeconds(denied ? 30 : 2));
        var located = await LocateOperation.RunAsync(context, [Key], default, deadline, CancellationToken.None, stale);
        Assert.Equal(denied, located.IsAnswered(0));
        Assert.False(denied && located.IsPresent(0));
    }

    public ValueTask DisposeAsync() => _peers.DisposeAsync();

    /// <summary>Answers every question about the key; none without <paramref name="say"/>.</summary>
    private void Serve(NodeRecord node, Action<LocateAnswer>? say) => _peers.Serve(node, (_, id) =>
    {
        var answer = new LocateAnswer(default, 1);
        say?.Invoke(answer);
        return say is null ? null : ScriptedPeers.Answer(id, answer);
    });
}
