// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Transfer;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>Gets of parts of objects.</summary>
public sealed class RangeTests
{
    private const int Slice = 64 << 10;
    private static readonly MeshKey Key = new("a");
    private static readonly PutOptions Patient = new() { Deadline = TimeSpan.FromSeconds(60) };
    private static readonly GetOptions Get = new() { Deadline = TimeSpan.FromSeconds(60) };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Any_part_of_any_object_arrives_and_nothing_else_is_touched(bool sameHost)
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync(sameHost);
        int[] sizes = [0, 1, 100, Slice, Slice + 1, 3 * Slice, (7 * Slice) + 1234];
        for (int i = 0; i < sizes.Length; i++)
        {
            int size = sizes[i];
            byte[] value = SharedPutTests.Value(size);
            var key = new MeshKey($"k{i}");
            await client.Operations.PutAsync(key, value, Patient, Cancel);
            foreach (var (offset, length) in Parts(size))
            {
                using var destination = new GuardedMemory(length);
                foreach (bool verify in (bool[])[true, false])
                {
                    destination.Bytes.Clear();
                    var got = await client.Operations.GetRangeAsync(new ObjectRange(key, offset), destination.Range,
                        Get with { Verify = verify }, Cancel);
                    Assert.True(got.Succeeded, $"{length} of {size} from {offset}: {got.Error}");
                    Assert.Equal(length, got.Value);
                    Assert.True(destination.Bytes.SequenceEqual(value.AsSpan(offset, length)));
                    destination.AssertGuards();
                }
            }
        }
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(0, 100_001)]
    [InlineData(100_001, 0)]
    [InlineData(99_999, 2)]
    [InlineData(long.MaxValue, 8)]
    public async Task A_part_beyond_the_object_is_refused_with_all_three_numbers(long offset, int length)
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, new byte[100_000], Patient, Cancel);
        using var destination = new GuardedMemory(length);
        var got = await client.Operations.GetRangeAsync(new ObjectRange(Key, offset), destination.Range, Get, Cancel);
        Assert.Equal(MeshErrorCode.InvalidArgument, got.Error?.Code);
        Assert.Contains($"{length} bytes from offset {offset}", got.Error!.Message, StringComparison.Ordinal);
        Assert.Contains("100000 bytes", got.Error.Message, StringComparison.Ordinal);
        destination.AssertGuards();
    }

    [Fact]
    public async Task A_changed_byte_spoils_the_parts_it_is_in_and_no_other()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        await client.Operations.PutAsync(Key, SharedPutTests.Value(4 * Slice), Patient, Cancel);
        Assert.True(world.Store.TryFind(Key, out var held));
        Flip(world, held, (2 * Slice) + 5);
        using var destination = new GuardedMemory(100);
        foreach (int offset in (int[])[0, Slice, (3 * Slice) + 1])
            Assert.True((await GetAsync(offset)).Succeeded);

        // Of the slice with the changed byte no byte is given out, the right ones included.
        Assert.Equal(MeshErrorCode.NotFound, (await GetAsync((2 * Slice) + 1000)).Error?.Code);
        Assert.Equal(MeshErrorCode.NotFound, (await GetAsync((2 * Slice) - 50)).Error?.Code);
        Assert.True(client.Operations.CorruptReads > 0);

        Task<MeshResult<long>> GetAsync(int offset) =>
            client.Operations.GetRangeAsync(new ObjectRange(Key, offset), destination.Range, Get, Cancel);
    }

    [Fact]
    public async Task Many_parts_at_once_have_one_result_each()
    {
        await using var world = await TransferWorld.StartAsync();
        await using var client = await world.ClientAsync();
        byte[] value = SharedPutTests.Value(3 * Slice);
        await client.Operations.PutAsync(Key, value, Patient, Cancel);
        using var memory = new GuardedMemory(300);
        ObjectRange[] ranges = [new(Key, 5), new(new MeshKey("none"), 0), new(Key, (3 * Slice) - 99), new(Key, Slice)];
        Mooncake.Mesh.Transfer.NativeRange[] destinations =
        [
            memory.Range with { Length = 100 }, memory.Range with { Length = 1 }, memory.Range with { Length = 100 },
            new(memory.Range.Address + 200, 100),
        ];
        var results = await client.Operations.GetRangesAsync(ranges, destinations, Get, Cancel);
        Assert.Equal(100, results[0].Value);
        Assert.Equal(MeshErrorCode.NotFound, results[1].Error?.Code);
        Assert.Equal(MeshErrorCode.InvalidArgument, results[2].Error?.Code);
        Assert.Equal(100, results[3].Value);
        Assert.True(memory.Bytes[..100].SequenceEqual(value.AsSpan(5, 100)));
        Assert.True(memory.Bytes[200..].SequenceEqual(value.AsSpan(Slice, 100)));
        memory.AssertGuards();
    }

    private static IEnumerable<(int Offset, int Length)> Parts(int size)
    {
        yield return (0, size);
        yield return (0, 0);
        yield return (size, 0);
        var random = new Random(size);
        for (int i = 0; i < 12 && size > 0; i++)
        {
            int offset = random.Next(size);
            yield return (offset, random.Next(size - offset + 1));
        }

        for (int at = 0; at + Slice <= size; at += Slice)
        {
            yield return (at, Slice);
            yield return (at, size - at);
            if (at > 0)
                yield return (at - 1, 2);
        }
    }

    private static unsafe void Flip(TransferWorld world, Mooncake.Mesh.Segments.HeldObject held, int at) =>
        world.Store.Segments[0].Memory.Host!.Pointer[held.Extent.Offset + at] ^= 1;
}
