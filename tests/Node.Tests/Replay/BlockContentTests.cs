// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Replay;

namespace Mooncake.Mesh.Node.Tests.Replay;

public sealed class BlockContentTests
{
    [Fact]
    public void The_content_never_changes()
    {
        byte[] block = Make(0, 24);
        Assert.Equal(block, Make(0, 24));
        Assert.Equal("kv/-5", BlockContent.Key(-5).ToString());
        // Pinned: blocks that an older build put must still check.
        Assert.Equal(Pinned, Convert.ToHexStringLower(block));
    }

    private const string Pinned = "6f7e194d2fdd06a75e4f41f405a382b317f7abfb54911a63";

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(4095)]
    public void A_shorter_block_is_the_start_of_a_longer_one(int length) =>
        Assert.Equal(Make(3, 4096)[..length], Make(3, length));

    [Fact]
    public void Blocks_differ_nearly_everywhere()
    {
        int same = Make(1, 4096).Zip(Make(2, 4096)).Count(pair => pair.First == pair.Second);
        Assert.InRange(same, 0, 64);
    }

    [Fact]
    public void Wrong_bytes_are_counted()
    {
        byte[] block = Make(9, 100);
        byte[] scratch = new byte[100];
        Assert.Equal(0, BlockContent.WrongBytes(9, block, scratch));
        block[0] ^= 1;
        block[99] ^= 0x80;
        Assert.Equal(2, BlockContent.WrongBytes(9, block, scratch));
        Assert.Equal(1 + 10, BlockContent.WrongBytes(9, block.AsSpan(0, 90), scratch));
        Assert.Equal(100, BlockContent.WrongBytes(9, [], scratch));
    }

    private static byte[] Make(long id, int length)
    {
        byte[] block = new byte[length];
        BlockContent.Fill(id, block);
        return block;
    }
}
