// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh.Tests.Nodes;

/// <summary>A put that one holder did not answer and another one did, whose value was removed since.</summary>
public sealed class GivenUpTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_another_holder_stored_and_a_client_removed_does_not_come_back(bool replace)
    {
        var world = NodeWorld.Started(4);
        // n4 is third for the key, gets the value first, and does not reach the first owner, which decides.
        var key = world.KeyOf("n2", "n3", "n4", "n1");
        world.Network.Cut("n2", "n4");
        world.Network.Cut("n4", "n2");
        var options = new PutOptions
        {
            Replace = replace,
            Placement = Placement.Preferred,
            PreferredNode = "n4",
            Deadline = TimeSpan.FromSeconds(4),
        };
        byte[] value = [1, 2, 3];
        var put = world.Run(world["n1"], () => world["n1"].Node.Operations.PutAsync(key, value, options,
            CancellationToken.None));
        Assert.Null(put.Error);
        Assert.False(world["n4"].Node.Holder.Store.TryFind(key, out _));
        Assert.True(world.Remove("n1", key.ToString()) is { Succeeded: true, Value: true });

        // The second one goes, so that n4 acts, which knows neither of the value nor of its removal.
        world["n3"].Kill();
        for (int i = 0; i < 100; i++)
        {
            world.Advance(TimeSpan.FromMilliseconds(100));
            Assert.False(world["n4"].Node.Holder.Store.TryFind(key, out _), $"it came back after {i} steps");
        }

        world.Network.Heal();
        world.AssertSettles();
        Assert.True(world.Until(() => world.Get("n1", key.ToString()) is { Succeeded: true, Value: [] },
            TimeSpan.FromSeconds(10)));
    }
}
