// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>Asking nodes for their status, or for what they hold, takes as long as the caller allows.</summary>
public sealed class StatusTests
{
    // Less than a second: by then a silent peer is known to be one, and calls to it end.
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(600);

    [Fact]
    public void A_node_has_the_time_that_the_caller_gives_it_and_no_more()
    {
        var world = NodeWorld.Started(3);
        var n1 = world["n1"];
        // What is sent on a connection that there is waits in a cut; one begun in a cut is lost.
        Assert.True(Ask().Succeeded);
        world.Network.Cut("n1", "n2");
        var asked = n1.Runtime.Start(() => n1.Node.Operations.StatusAsync(Record(world, "n2"), Limit,
            CancellationToken.None));
        world.Advance(Limit - TimeSpan.FromMilliseconds(100));
        Assert.False(asked.IsCompleted);
        world.Network.Heal();
        Assert.True(world.Until(() => asked.IsCompleted, TimeSpan.FromMilliseconds(50)));
        Assert.Contains("n2", Encoding.UTF8.GetString(world.Run(n1, () => asked).Value), StringComparison.Ordinal);
        world.Network.Cut("n1", "n2");
        Assert.Equal(MeshErrorCode.DeadlineExceeded, Ask().Error?.Code);

        MeshResult<byte[]> Ask()
        {
            var begun = world.Time.Elapsed;
            var answer = world.Run(n1, () => n1.Node.Operations.StatusAsync(Record(world, "n2"), Limit,
                CancellationToken.None));
            Assert.InRange(world.Time.Elapsed - begun, TimeSpan.Zero, Limit);
            return answer;
        }
    }

    [Fact]
    public void A_silent_node_leaves_time_to_the_next_and_all_of_them_end_with_the_call()
    {
        var world = SilentBetween("n1", "n2");
        var n1 = world["n1"];
        var begun = world.Time.Elapsed;
        var first = First("n2", "n3");
        Assert.Contains("n3", Encoding.UTF8.GetString(first!.Value.Value), StringComparison.Ordinal);
        Assert.InRange(world.Time.Elapsed - begun, Limit / 2, Limit / 2 + TimeSpan.FromMilliseconds(50));
        world.Network.Cut("n1", "n3");
        begun = world.Time.Elapsed;
        Assert.False(First("n2", "n3")!.Value.Succeeded);
        Assert.InRange(world.Time.Elapsed - begun, TimeSpan.Zero, Limit + TimeSpan.FromMilliseconds(2));
        Assert.Null(First());

        MeshResult<byte[]>? First(params string[] nodes) => world.Run(n1, () => n1.Node.Operations.FirstStatusAsync(
            [.. nodes.Select(node => Record(world, node))], Limit, CancellationToken.None));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Who_has_more_time_than_a_ping_does_not_lose_it_with_the_connection(bool status)
    {
        var world = NodeWorld.Started(3);
        var n1 = world["n1"];
        Assert.True(world.Put("n1", "key", [1], holder: "n2").Succeeded);
        world.Network.Cut("n1", "n2");
        var limit = TimeSpan.FromSeconds(20);
        Func<Task<string>> ask = status ? StatusAsync : ListAsync;
        var asked = n1.Runtime.Start(ask);
        // By now the pings have ended the connection, and n2 is on the negative list.
        world.Advance(TimeSpan.FromMilliseconds(2500));
        Assert.True(n1.Node.Operations.Context.IsDown(Record(world, "n2")));
        Assert.False(asked.IsCompleted);
        world.Network.Heal();
        Assert.True(world.Until(() => asked.IsCompleted, TimeSpan.FromSeconds(5)));
        Assert.Equal("", world.Run(n1, () => asked));

        async Task<string> StatusAsync()
        {
            var answer = await n1.Node.Operations.StatusAsync(Record(world, "n2"), limit, CancellationToken.None);
            return answer.Error?.Message ?? "";
        }

        async Task<string> ListAsync()
        {
            await foreach (var item in n1.Node.Operations.ListAsync([], limit, CancellationToken.None))
            {
                if (!item.Succeeded)
                    return item.Error!.Message;
                Assert.Equal(["n2"], item.Value.Nodes);
            }

            return "";
        }
    }

    [Fact]
    public void A_page_of_a_listing_has_the_callers_time()
    {
        var world = NodeWorld.Started(3);
        Assert.True(world.Put("n1", "key", [1], holder: "n3").Succeeded);
        world.Network.Cut("n1", "n2");
        var begun = world.Time.Elapsed;
        var n1 = world["n1"];
        var listed = world.Run(n1, async () =>
        {
            var items = new List<MeshResult<ListedObject>>();
            await foreach (var item in n1.Node.Operations.ListAsync([], Limit, CancellationToken.None))
                items.Add(item);
            return items;
        });
        Assert.Equal(["n3"], Assert.Single(listed, item => item.Succeeded).Value.Nodes);
        Assert.Contains("n2", Assert.Single(listed, item => !item.Succeeded).Error!.Message, StringComparison.Ordinal);
        Assert.InRange(world.Time.Elapsed - begun, TimeSpan.Zero, Limit + TimeSpan.FromMilliseconds(50));
    }

    private static NodeWorld SilentBetween(string one, string other)
    {
        var world = NodeWorld.Started(3);
        world.Network.Cut(one, other);
        world.Network.Cut(other, one);
        return world;
    }

    private static NodeRecord Record(NodeWorld world, string node) =>
        world["n1"].Node.View.Members.Single(member => member.NodeId == node);
}
