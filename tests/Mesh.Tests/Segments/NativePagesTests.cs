// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Tests.Segments;

public sealed unsafe class NativePagesTests
{
    [Theory]
    [InlineData(1, 4096)]
    [InlineData(65_536, 65_536)]
    [InlineData(100_000, 4096)]
    [InlineData(2 << 20, 2 << 20)]
    [InlineData(4 << 20, 2 << 20)]
    public void They_are_zero_and_lie_as_they_were_asked_for(int bytes, int alignment)
    {
        nint address = NativePages.Map(bytes, alignment);
        Assert.Equal(0, address % alignment);
        var pages = new Span<byte>((void*)address, bytes);
        Assert.Equal(-1, pages.IndexOfAnyExcept((byte)0));
        pages.Fill(0x5a);
        NativePages.Unmap(address, bytes);
    }

    [Theory]
    [InlineData(1 << 30, 4096)]
    [InlineData(1 << 12, 1 << 30)]
    public void Nothing_of_them_stays(int bytes, int alignment)
    {
        // More together than a process has addresses (128 TiB).
        for (int i = 0; i < 150_000; i++)
            NativePages.Unmap(NativePages.Map(bytes, alignment), bytes);
    }

    [Fact]
    public void More_than_there_is_throws()
    {
        Assert.Throws<OutOfMemoryException>(() => NativePages.Map(1L << 60, 4096));
        Assert.Throws<OverflowException>(() => (nint)NativePages.Map<long>(long.MaxValue));
    }
}
