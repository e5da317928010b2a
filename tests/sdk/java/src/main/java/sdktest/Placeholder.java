package sdktest;
class Placeholder {}
